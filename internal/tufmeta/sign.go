package tufmeta

import (
	"bytes"
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Signer signs for a declared key.
type Signer struct {
	Key    *Key
	Signer MessageSigner
}

// A MessageSigner is what signs. keys.Signer is one, and says what is expected of its methods.
type MessageSigner interface {
	Public(ctx context.Context) (crypto.PublicKey, error)
	Sign(ctx context.Context, message []byte) (signature []byte, err error)
}

// Check returns an error unless the signer's public key is the declared one.
func (s Signer) Check(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- guard(func() error { return s.check(ctx) }) }()
	select {
	case err := <-done:
		return s.wrap(err)
	case <-ctx.Done():
		return s.wrap(context.Cause(ctx))
	}
}

func (s Signer) check(ctx context.Context) error {
	public, err := s.Signer.Public(ctx)
	if err != nil {
		return fmt.Errorf("public key of the signer: %w", err)
	}
	if !s.Key.IsPublic(public) {
		return errors.New("the signer has another public key than is declared")
	}
	return nil
}

// sign returns the signer's signature over message, having checked both.
func (s Signer) sign(ctx context.Context, message []byte) (sig []byte, err error) {
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	if sig, err = s.Signer.Sign(ctx, message); err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	if err := s.Key.Verify(message, sig); err != nil {
		return nil, fmt.Errorf("what the signer returned: %w", err)
	}
	return sig, nil
}

// wrap names the key in an error.
func (s Signer) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("key %s: %w", s.Key.ID, err)
}

// guard calls f and returns a panic as an error, since a signer is the embedder's code.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}

// grace is how much longer than the signers of a threshold took the other ones are waited for, at
// most: this, and as long again. A signer that hangs must not stop a role that has enough others.
const grace = time.Second

// Sign signs a draft with keys of role, all at once. Each signer's public key is compared with the
// declared one before it signs, and its signature is verified afterwards. Meanwhile the text of the
// file is read, to be sure that it says what is signed.
//
// The result carries just these signatures. Once they reach the threshold, a signer that fails, or
// that takes much longer than the others, is left out. The second result says why, and names the
// key. Sign returns ErrThreshold, before anything is signed, if the keys are too few.
//
// The file has one form, whatever the form of the document that it follows:
//
//	{"signatures":[{"keyid":"…","sig":"…"}],"signed":{…}}
//
// The member signed is in canonical form, but for control characters in strings, for which
// canonical JSON has no escapes.
func (d *Draft) Sign(ctx context.Context, role *Role, signers []Signer) (*Verified, []error, error) {
	if role.kind != d.base.kind {
		return nil, nil, fmt.Errorf("role %s signs documents of type %s, not %s", role.Name, role.kind, d.base.kind)
	}
	if role.err != nil {
		return nil, nil, fmt.Errorf("role %s: %w", role.Name, role.err)
	}
	held := make([]*Key, len(signers))
	for i, s := range signers {
		isKey := func(k *Key) bool { return k.ID == s.Key.ID && k.digest == s.Key.digest }
		if !slices.ContainsFunc(role.Keys, isKey) || slices.ContainsFunc(held[:i], isKey) {
			return nil, nil, s.wrap(fmt.Errorf("not one of role %s, or there twice", role.Name))
		}
		held[i] = s.Key
	}
	if !role.Enough(held) {
		return nil, nil, fmt.Errorf("%w: %d keys available, %d needed", ErrThreshold, len(held), role.Threshold)
	}

	// The signed object may be large, so it is written once, behind room for what precedes it.
	const around, signature = 64, 600 // RSA of 2048 bits has 512 digits
	room := around
	for _, k := range held {
		room += signature + 2*len(k.ID)
	}
	file := d.write(make([]byte, room, room+d.size()+1))
	message := file[room:]
	if d.controls() {
		file = escapeControls(make([]byte, room, len(file)+around), message)
	}
	answers := ask(ctx, signers, message)
	signed, err := reread(file[room:], message)
	if err != nil {
		answers.leave()
		return nil, nil, err
	}
	sigs, problems, enough := answers.collect(ctx, role)
	if !enough {
		err := problems[0]
		for _, other := range problems[1:] {
			err = fmt.Errorf("%w; %w", err, other)
		}
		return nil, nil, err
	}
	signed.finish(file, room, held, sigs)
	var by []string
	for i, k := range held {
		if sigs[i] != nil {
			by = append(by, k.digest)
		}
	}
	slices.Sort(by)
	return &Verified{Document: signed, role: role, signed: func() []string { return by }}, problems, nil
}

// reread reads the text of a signed object, whose canonical form has to be message. Of the result,
// what is around that object is missing.
func reread(text, message []byte) (*Document, error) {
	c, err := canonicalize(text, levelSigned)
	if err != nil {
		return nil, fmt.Errorf("rereading: %w", err)
	}
	if !bytes.Equal(c.out, message) {
		return nil, errors.New("rereading: the file does not say what is signed")
	}
	d := &Document{
		canonical: message, same: c.same, fields: c.kept[levelSigned], meta: c.kept[levelMeta], controls: c.controls,
	}
	if err := d.parseSigned(); err != nil {
		return nil, fmt.Errorf("rereading: signed%w", err)
	}
	return d, nil
}

// finish completes a file whose signed object begins at room, and puts it into d.
func (d *Document) finish(file []byte, room int, held []*Key, sigs [][]byte) {
	d.sigs = map[string][]byte{}
	head := []byte(`{"signatures":[`)
	begin := len(head) - 1
	for i, sig := range sigs {
		if sig == nil {
			continue
		}
		if len(d.sigs) > 0 {
			head = append(head, ',')
		}
		d.sigs[held[i].ID] = sig
		head = append(append(append(head, `{"keyid":`...), quote(held[i].ID)...), `,"sig":"`...)
		head = append(hex.AppendEncode(head, sig), `"}`...)
	}
	head = append(head, ']')
	end := len(head)
	head = append(head, `,"signed":`...)

	file = append(file, '}')
	if len(head) <= room {
		d.raw = file[room-len(head):]
		copy(d.raw, head)
	} else {
		d.raw = append(head, file[room:]...)
	}
	d.signatures = d.raw[begin:end]
	if d.same {
		d.canonical = d.raw[len(head) : len(d.raw)-1]
	}
}

// answers are what signers are asked for.
type answers struct {
	signers []Signer
	began   time.Time
	arrived chan answer
	leave   context.CancelFunc
}

// An answer is one signer's.
type answer struct {
	signer int
	sig    []byte
	err    error
}

// ask asks all signers for their signatures over message.
func ask(ctx context.Context, signers []Signer, message []byte) *answers {
	ctx, cancel := context.WithCancel(ctx)
	a := &answers{signers, time.Now(), make(chan answer, len(signers)), cancel}
	for i, s := range signers {
		go func() {
			var sig []byte
			err := guard(func() (err error) {
				sig, err = s.sign(ctx, message)
				return err
			})
			a.arrived <- answer{i, sig, err}
		}()
	}
	return a
}

// collect waits for the answers, and leaves those that take too long: signers may be remote, and
// need not heed a context. It returns the signatures by signer, nil where there is none, and why,
// and whether they are enough for role.
func (a *answers) collect(ctx context.Context, role *Role) (sigs [][]byte, problems []error, enough bool) {
	defer a.leave()
	sigs = make([][]byte, len(a.signers))
	missing := map[int]bool{}
	for i := range a.signers {
		missing[i] = true
	}
	var digests []string
	var end <-chan time.Time
	for len(missing) > 0 {
		var left error
		select {
		case got := <-a.arrived:
			delete(missing, got.signer)
			if got.err != nil {
				problems = append(problems, a.signers[got.signer].wrap(got.err))
				continue
			}
			sigs[got.signer] = got.sig
			digests = append(digests, a.signers[got.signer].Key.digest)
			if end == nil && role.EnoughDigests(digests) {
				end = time.After(time.Since(a.began) + grace)
			}
			continue
		case <-end:
			left = errors.New("no answer, long after enough other keys have signed")
		case <-ctx.Done():
			left = fmt.Errorf("no answer: %w", context.Cause(ctx))
		}
		for i := range missing {
			problems = append(problems, a.signers[i].wrap(left))
		}
		break
	}
	return sigs, problems, end != nil
}
