package keystest

import (
	"context"
	"crypto"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/keys/sigstorekeys"
)

// provider is a Provider that is a function.
type provider func(context.Context, keys.Request) (keys.Signer, error)

func (p provider) Signer(ctx context.Context, req keys.Request) (keys.Signer, error) {
	return p(ctx, req)
}

func honest(t testing.TB, held ...Key) keys.Provider {
	m := keys.NewMemory()
	for _, k := range held {
		m.Add(k.App, k.ID, k.Signer(t))
	}
	return m
}

// asking makes providers that ask an honest one for something else.
func asking(change func(keys.Request) keys.Request) Backend {
	return func(t testing.TB, held ...Key) keys.Provider {
		p := honest(t, held...)
		return provider(func(ctx context.Context, req keys.Request) (keys.Signer, error) {
			return p.Signer(ctx, change(req))
		})
	}
}

// signing makes providers whose signers are changed.
func signing(change func(context.Context, Key, keys.Signer) (keys.Signer, error)) Backend {
	return func(t testing.TB, held ...Key) keys.Provider {
		p := honest(t, held...)
		return provider(func(ctx context.Context, req keys.Request) (keys.Signer, error) {
			s, err := p.Signer(ctx, req)
			for _, k := range held {
				if err == nil && k.App == req.App && k.ID == req.KeyID {
					return change(ctx, k, s)
				}
			}
			return s, err
		})
	}
}

// signWith is a signer whose method Sign is a function.
type signWith struct {
	keys.Signer
	sign func(context.Context, []byte) ([]byte, error)
}

func (s signWith) Sign(ctx context.Context, message []byte) ([]byte, error) {
	return s.sign(ctx, message)
}

// loaded is a signer of sigstore's, which takes no context since its key is in memory.
func loaded(s signature.Signer, err error) (keys.Signer, error) {
	if err != nil {
		return nil, err
	}
	return sigstorekeys.New(s), nil
}

func TestSuiteRefusesLiars(t *testing.T) {
	for _, liar := range []struct {
		name    string
		backend Backend
		broken  string // a rule that notices
	}{
		{
			"returns another key", func(t testing.TB, _ ...Key) keys.Provider {
				other := ecdsaP256().New(t, "acme").Signer(t)
				return provider(func(context.Context, keys.Request) (keys.Signer, error) { return other, nil })
			}, "a key signs as declared: ECDSA P-256",
		},
		{
			"shows one key and signs with another", signing(func(_ context.Context, _ Key, s keys.Signer) (keys.Signer,
				error) {
				private, err := ecdsaP256().make()
				if err != nil {
					return nil, err
				}
				other, err := keys.NewSigner(private, ecdsaP256().Scheme)
				if err != nil {
					return nil, err
				}
				return signWith{s, other.Sign}, nil
			}), "a key signs as declared: ECDSA P-256",
		},
		{
			"holds nothing", func(testing.TB, ...Key) keys.Provider {
				return provider(func(context.Context, keys.Request) (keys.Signer, error) { return nil, keys.ErrNoKey })
			}, "a key signs as declared: Ed25519",
		},
		{
			"fails where it has no key", func(t testing.TB, held ...Key) keys.Provider {
				p := honest(t, held...)
				return provider(func(ctx context.Context, req keys.Request) (keys.Signer, error) {
					s, err := p.Signer(ctx, req)
					if errors.Is(err, keys.ErrNoKey) {
						err = errors.New("no")
					}
					return s, err
				})
			}, "a key that is not held is no key",
		},
		{
			"returns nothing and no error where it has no key", func(t testing.TB, held ...Key) keys.Provider {
				p := honest(t, held...)
				return provider(func(ctx context.Context, req keys.Request) (keys.Signer, error) {
					s, _ := p.Signer(ctx, req)
					return s, nil
				})
			}, "a key that is not held is no key",
		},
		{
			"knows no apps", func(t testing.TB, held ...Key) keys.Provider {
				m := keys.NewMemory()
				for _, k := range held {
					m.Add("", k.ID, k.Signer(t))
				}
				return provider(func(ctx context.Context, req keys.Request) (keys.Signer, error) {
					req.App = ""
					return m.Signer(ctx, req)
				})
			}, "a key of another app is no key",
		},
		{
			"mixes up keys of one name", func(t testing.TB, held ...Key) keys.Provider {
				for i := range held {
					for _, k := range held[:i] {
						if k.ID == held[i].ID {
							held[i].Private = k.Private
						}
					}
				}
				return honest(t, held...)
			}, "one key ID may stand for two keys of two apps",
		},
		{
			"looks in the folders above too", func(t testing.TB, held ...Key) keys.Provider {
				p := honest(t, held...)
				return provider(func(ctx context.Context, req keys.Request) (keys.Signer, error) {
					for {
						s, err := p.Signer(ctx, req)
						slash := strings.LastIndex(req.App, "/")
						if !errors.Is(err, keys.ErrNoKey) || slash < 0 {
							return s, err
						}
						req.App = req.App[:slash]
					}
				})
			}, "apps that begin alike share no keys",
		},
		{
			"glues paths together", asking(func(req keys.Request) keys.Request {
				req.App, req.KeyID = path.Split(path.Join(req.App, req.KeyID))
				req.App = strings.TrimSuffix(req.App, "/")
				return req
			}), "a name that is no name gets no signer",
		},
		{
			"cuts names at a NUL", asking(func(req keys.Request) keys.Request {
				req.KeyID, _, _ = strings.Cut(req.KeyID, "\x00")
				return req
			}), "a name that is no name gets no signer",
		},
		{
			"takes a cancelled call for a missing key", func(t testing.TB, held ...Key) keys.Provider {
				p := honest(t, held...)
				return provider(func(ctx context.Context, req keys.Request) (keys.Signer, error) {
					if ctx.Err() != nil {
						return nil, fmt.Errorf("%w: %w", keys.ErrNoKey, ctx.Err())
					}
					return p.Signer(ctx, req)
				})
			}, "a context that has ended does not make a key unknown",
		},
		{
			"signs within the call only", signing(func(ctx context.Context, _ Key, s keys.Signer) (keys.Signer,
				error) {
				return signWith{s, func(own context.Context, message []byte) ([]byte, error) {
					if ctx.Err() != nil {
						return nil, ctx.Err()
					}
					return s.Sign(own, message)
				}}, nil
			}), "a signer outlives the context of the call",
		},
		{
			"signs once", signing(func(_ context.Context, _ Key, s keys.Signer) (keys.Signer, error) {
				var used atomic.Bool
				return signWith{s, func(ctx context.Context, message []byte) ([]byte, error) {
					if used.Swap(true) {
						return nil, errors.New("used up")
					}
					return s.Sign(ctx, message)
				}}, nil
			}), "a key signs as declared: Ed25519",
		},
		{
			"keeps the message in a place of its own", signing(func(_ context.Context, _ Key,
				s keys.Signer) (keys.Signer, error) {
				var mu sync.Mutex
				var last []byte
				return signWith{s, func(ctx context.Context, message []byte) ([]byte, error) {
					mu.Lock()
					last = message
					mu.Unlock()
					time.Sleep(time.Second)
					mu.Lock()
					defer mu.Unlock()
					return s.Sign(ctx, last)
				}}, nil
			}), "all may sign at once: Ed25519",
		},
		{
			"writes into the message", signing(func(_ context.Context, _ Key, s keys.Signer) (keys.Signer, error) {
				return signWith{s, func(ctx context.Context, message []byte) ([]byte, error) {
					defer func() { message[0]++ }()
					return s.Sign(ctx, message)
				}}, nil
			}), "a key signs as declared: Ed25519",
		},
		{
			"signs as sigstore does by default", signing(func(_ context.Context, k Key, _ keys.Signer) (keys.Signer,
				error) {
				return loaded(signature.LoadSigner(k.Private, crypto.SHA256)) // PKCS #1 v1.5 with an RSA key
			}), "a key signs as declared: RSA",
		},
		{
			"hashes with SHA-256 whatever the scheme", signing(func(_ context.Context, k Key,
				_ keys.Signer) (keys.Signer, error) {
				return loaded(signature.LoadSigner(k.Private, crypto.SHA256))
			}), "a key signs as declared: ECDSA P-384",
		},
		{
			"takes the largest salt", signing(func(_ context.Context, k Key, s keys.Signer) (keys.Signer, error) {
				if private, ok := k.Private.(*rsa.PrivateKey); ok {
					return loaded(signature.LoadRSAPSSSigner(private, crypto.SHA256, nil))
				}
				return s, nil
			}), "a key signs as declared: RSA",
		},
		{
			"goes by the curve", signing(func(_ context.Context, k Key, s keys.Signer) (keys.Signer, error) {
				if strings.HasPrefix(k.KeyType, "ecdsa") {
					return loaded(signature.LoadDefaultSigner(k.Private))
				}
				return s, nil
			}), "a key signs as declared: ECDSA P-384 declared as P-256",
		},
	} {
		t.Run(liar.name, func(t *testing.T) {
			at := slices.IndexFunc(rules(), func(r rule) bool { return r.name == liar.broken })
			require.GreaterOrEqual(t, at, 0, "there is such a rule")
			r := rules()[at]
			require.False(t, breaks(t, r, honest), "an honest provider keeps it")
			assert.True(t, breaks(t, r, liar.backend), "it notices")
		})
	}
}

// breaks reports whether a provider breaks a rule.
func breaks(t *testing.T, r rule, backend Backend) bool {
	t.Helper()
	var failed atomic.Bool
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		go func() { // FailNow ends the goroutine
			defer close(done)
			r.check(recorder{t, &failed}, backend)
		}()
		<-done
	})
	return failed.Load()
}

// A recorder is a testing.TB that keeps failures to itself.
type recorder struct {
	testing.TB
	failed *atomic.Bool
}

func (r recorder) Errorf(string, ...any) { r.failed.Store(true) }

func (r recorder) FailNow() {
	r.failed.Store(true)
	runtime.Goexit()
}

func TestFlakyPassesTheSuite(t *testing.T) {
	Run(t, func(t testing.TB, held ...Key) keys.Provider { return NewFlaky(honest(t, held...), nil) })
}

func TestFlakyFailsAsItIsTold(t *testing.T) {
	k, other := ecdsaP256().New(t, "acme"), ecdsaP256().New(t, "acme")
	boom := errors.New("boom")
	for _, verb := range []Verb{Signer, Public, Sign} {
		// use returns the error of the verb's call.
		use := func(ctx context.Context, f *Flaky) error {
			s, err := f.Signer(ctx, k.Request())
			if verb == Signer || err != nil {
				return err
			}
			if verb == Public {
				_, err = s.Public(ctx)
				return err
			}
			sig, err := s.Sign(ctx, []byte("timestamp"))
			return errors.Join(err, k.Verify([]byte("timestamp"), sig))
		}
		flaky := func(fault Fault) *Flaky {
			return NewFlaky(honest(t, k), func(c Call) Fault {
				assert.Equal(t, k.Request(), c.Request)
				if c.Verb == verb {
					return fault
				}
				return Fault{}
			})
		}
		t.Run(string(verb), func(t *testing.T) {
			f := flaky(Fault{})
			require.NoError(t, use(t.Context(), f))
			require.NoError(t, use(t.Context(), f))
			assert.Equal(t, 2, f.Count(verb))

			require.ErrorIs(t, use(t.Context(), flaky(Fault{Err: boom})), boom)

			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				require.ErrorIs(t, use(ctx, flaky(Fault{Hang: true})), context.DeadlineExceeded)
			})

			f = flaky(Fault{Instead: other.Signer(t)})
			if verb == Sign {
				require.Error(t, use(t.Context(), f), "the signature is another key's")
				return
			}
			s, err := f.Signer(t.Context(), k.Request())
			require.NoError(t, err)
			public, err := s.Public(t.Context())
			require.NoError(t, err)
			assert.Equal(t, other.Private.Public(), public)
		})
	}
}

func TestFlakyRemembersCallsInOrder(t *testing.T) {
	k := ecdsaP256().New(t, "acme")
	f := NewFlaky(honest(t, k), nil)
	s, err := f.Signer(t.Context(), k.Request())
	require.NoError(t, err)
	_, err = s.Public(t.Context())
	require.NoError(t, err)
	_, err = s.Sign(t.Context(), []byte("x"))
	require.NoError(t, err)
	assert.Equal(t, []Call{{Signer, k.Request(), 1}, {Public, k.Request(), 2}, {Sign, k.Request(), 3}},
		f.Calls())
}

// go-tuf takes SHA-256 for schemes that it does not know.
func TestGoTUFVerifiesTheKindsThatItKnows(t *testing.T) {
	unknown := []string{"ecdsa-sha2-nistp521", "rsassa-pss-sha384", "rsassa-pss-sha512"}
	for _, kind := range Kinds() {
		t.Run(kind.Name, func(t *testing.T) {
			k := kind.New(t, "acme")
			root := metadata.Root(time.Now().Add(time.Hour))
			declared := new(metadata.Key)
			require.NoError(t, json.Unmarshal(k.Declared, declared))
			require.NoError(t, root.Signed.AddKey(declared, metadata.TIMESTAMP))
			timestamp := metadata.Timestamp(time.Now().Add(time.Hour))
			message, err := cjson.EncodeCanonical(timestamp.Signed)
			require.NoError(t, err)
			sig, err := k.Signer(t).Sign(t.Context(), message)
			require.NoError(t, err)
			timestamp.Signatures = []metadata.Signature{{KeyID: root.Signed.Roles[metadata.TIMESTAMP].KeyIDs[0], Signature: sig}}
			err = root.VerifyDelegate(metadata.TIMESTAMP, timestamp)
			require.Equal(t, slices.Contains(unknown, kind.Scheme), err != nil, "%v", err)
		})
	}
}
