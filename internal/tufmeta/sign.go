package tufmeta

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
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
	_, err := begin(ctx, func() (struct{}, error) { return struct{}{}, s.check(ctx) })()
	return err
}

func (s Signer) check(ctx context.Context) error {
	public, err := s.Signer.Public(ctx)
	if err != nil {
		return fmt.Errorf("key %s: public key of the signer: %w", s.Key.ID, err)
	}
	if !s.Key.IsPublic(public) {
		return fmt.Errorf("key %s: the signer has another public key than is declared", s.Key.ID)
	}
	return nil
}

// sign returns the signer's signature over message, having checked both.
func (s Signer) sign(ctx context.Context, message []byte) ([]byte, error) {
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	sig, err := s.Signer.Sign(ctx, message)
	if err != nil {
		return nil, fmt.Errorf("key %s: signing: %w", s.Key.ID, err)
	}
	if err := s.Key.Verify(message, sig); err != nil {
		return nil, fmt.Errorf("key %s: what the signer returned: %w", s.Key.ID, err)
	}
	return sig, nil
}

// begin calls f in a goroutine, and returns what waits for its result, or until ctx ends: signers
// may be remote, and need not heed a context.
func begin[T any](ctx context.Context, f func() (T, error)) (wait func() (T, error)) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil { // a signer is the embedder's code
				r.err = fmt.Errorf("panic: %v", p)
			}
			done <- r
		}()
		r.value, r.err = f()
	}()
	return func() (T, error) {
		select {
		case r := <-done:
			return r.value, r.err
		case <-ctx.Done():
			var none T
			return none, context.Cause(ctx)
		}
	}
}

// Sign signs a draft with the keys of role, all at once. Each signer's public key is compared with
// the declared one before it signs, and its signature is verified afterwards; meanwhile, what the
// file says is read, to be sure that it is what is signed. The result carries just these
// signatures; ErrThreshold if they are too few, before anything is signed. The signatures are laid
// out as those that they replace.
func (d *Draft) Sign(ctx context.Context, role *Role, signers []Signer) (*Verified, error) {
	if role.kind != d.base.kind {
		return nil, fmt.Errorf("role %s signs documents of type %s, not %s", role.Name, role.kind, d.base.kind)
	}
	held := make([]*Key, len(signers))
	for i, s := range signers {
		held[i] = s.Key
	}
	if !role.Enough(held) {
		return nil, fmt.Errorf("%w: %d keys at hand, %d needed", ErrThreshold, len(held), role.Threshold)
	}
	f := d.file(held)
	message := f.text()
	if !d.same {
		message = splice(d.base.canonical, d.canonical)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pending := make([]func() ([]byte, error), len(signers))
	for i, s := range signers {
		pending[i] = begin(ctx, func() ([]byte, error) { return s.sign(ctx, message) })
	}
	signed, err := reread(f.text(), message)
	if err != nil {
		return nil, err
	}
	sigs := make([][]byte, len(signers))
	for i, sig := range pending {
		if sigs[i], err = sig(); err != nil {
			return nil, err
		}
	}
	signed.sigs = make(map[string][]byte, len(sigs))
	for i, k := range held {
		signed.sigs[k.ID] = sigs[i]
	}
	f.finish(signed, f.layout.write(held, sigs))
	return &Verified{signed, role}, nil
}

// reread reads the signed object of a file, whose canonical form has to be message. Of the result,
// what is around that object is missing.
func reread(text, message []byte) (*Document, error) {
	c, err := canonicalize(text, levelSigned)
	if err != nil {
		return nil, fmt.Errorf("rereading: %w", err)
	}
	if !bytes.Equal(c.out, message) {
		return nil, errors.New("rereading: the file does not say what is signed")
	}
	d := &Document{canonical: message, same: c.same, fields: c.kept[levelSigned], meta: c.kept[levelMeta]}
	if err := d.parseSigned(); err != nil {
		return nil, fmt.Errorf("rereading: signed%w", err)
	}
	return d, nil
}
