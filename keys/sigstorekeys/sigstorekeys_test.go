package sigstorekeys_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"io"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/keys/keystest"
	"github.com/tufonline/tufonline/keys/sigstorekeys"
)

// load returns sigstore's own signer for a key, loaded so that it signs as the key's scheme asks.
func load(t testing.TB, k keystest.Key) signature.Signer {
	t.Helper()
	hash := crypto.SHA256
	switch k.Scheme {
	case "ecdsa-sha2-nistp384", "rsassa-pss-sha384":
		hash = crypto.SHA384
	case "ecdsa-sha2-nistp521", "rsassa-pss-sha512":
		hash = crypto.SHA512
	}
	var s signature.Signer
	var err error
	if private, ok := k.Private.(*rsa.PrivateKey); ok {
		s, err = signature.LoadRSAPSSSigner(private, hash, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	} else {
		s, err = signature.LoadSigner(k.Private, hash)
	}
	require.NoError(t, err)
	return s
}

func TestSigstoresSignersOfEachKindPassTheSuite(t *testing.T) {
	keystest.Run(t, func(t testing.TB, held ...keystest.Key) keys.Provider {
		m := keys.NewMemory()
		for _, k := range held {
			m.Add(k.App, k.ID, sigstorekeys.New(load(t, k)))
		}
		return m
	})
}

// The traps that the package comment names.
func TestSigstoresDefaultsDoNotSignAsDeclared(t *testing.T) {
	kinds := map[string]keystest.Kind{}
	for _, kind := range keystest.Kinds() {
		kinds[kind.Name] = kind
	}
	for name, c := range map[string]struct {
		kind string
		load func(k keystest.Key) (signature.Signer, error)
	}{
		"LoadSigner of an RSA key": {"RSA", func(k keystest.Key) (signature.Signer, error) {
			return signature.LoadSigner(k.Private, crypto.SHA256)
		}},
		"LoadRSAPSSSigner without options": {"RSA", func(k keystest.Key) (signature.Signer, error) {
			return signature.LoadRSAPSSSigner(k.Private.(*rsa.PrivateKey), crypto.SHA256, nil)
		}},
		"LoadDefaultSigner of a key on P-384 with the scheme of P-256": {"ECDSA P-384 declared as P-256",
			func(k keystest.Key) (signature.Signer, error) { return signature.LoadDefaultSigner(k.Private) }},
	} {
		t.Run(name, func(t *testing.T) {
			k := kinds[c.kind].New(t, "acme")
			s, err := c.load(k)
			require.NoError(t, err)
			message := []byte("timestamp")
			sig, err := sigstorekeys.New(s).Sign(t.Context(), message)
			require.NoError(t, err)
			require.Error(t, k.Verify(message, sig), "if this verifies, the package comment is out of date")
		})
	}
}

// A remote signer records what it is called with, as sigstore's KMS clients see it.
type remote struct {
	ctx     context.Context
	message io.Reader
	err     error
}

func (r *remote) PublicKey(opts ...signature.PublicKeyOption) (crypto.PublicKey, error) {
	for _, o := range opts {
		o.ApplyContext(&r.ctx)
	}
	return nil, r.err
}

func (r *remote) SignMessage(message io.Reader, opts ...signature.SignOption) ([]byte, error) {
	for _, o := range opts {
		o.ApplyContext(&r.ctx)
	}
	r.message = message
	return nil, r.err
}

func TestTheContextAndTheErrorOfACallArePassedOn(t *testing.T) {
	type name struct{}
	ctx := context.WithValue(t.Context(), name{}, "of this call")
	denied := errors.New("access denied")
	for _, call := range []func(s keys.Signer) error{
		func(s keys.Signer) error { _, err := s.Public(ctx); return err },
		func(s keys.Signer) error { _, err := s.Sign(ctx, []byte("timestamp")); return err },
	} {
		r := &remote{err: denied}
		require.ErrorIs(t, call(sigstorekeys.New(r)), denied)
		require.NotNil(t, r.ctx)
		assert.Equal(t, "of this call", r.ctx.Value(name{}))
	}
}

// What is signed may have many megabytes.
func TestTheMessageIsReadInPlace(t *testing.T) {
	r := &remote{}
	message := []byte("timestamp")
	_, err := sigstorekeys.New(r).Sign(t.Context(), message)
	require.NoError(t, err)
	writerTo, ok := r.message.(io.WriterTo)
	require.True(t, ok, "io.Copy into a hash needs no buffer")
	var seen sink
	_, err = writerTo.WriteTo(&seen)
	require.NoError(t, err)
	require.True(t, bytes.Equal(message, seen.data))
	assert.Same(t, &message[0], &seen.data[0])
}

// A sink keeps what is written to it, without copying it.
type sink struct{ data []byte }

func (s *sink) Write(p []byte) (int, error) {
	s.data = p
	return len(p), nil
}
