package tufmeta

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
	"golang.org/x/sync/errgroup"
)

// A Signer signs for a declared key.
type Signer struct {
	Key *Key
	signature.Signer
}

// Check returns an error unless the signer's public key is the declared one.
func (s Signer) Check(ctx context.Context) error {
	public, err := within(ctx, func() (any, error) { return s.PublicKey(options.WithContext(ctx)) })
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
	if err := s.Check(ctx); err != nil {
		return nil, err
	}
	sig, err := within(ctx, func() ([]byte, error) {
		return s.SignMessage(bytes.NewReader(message), options.WithContext(ctx))
	})
	if err != nil {
		return nil, fmt.Errorf("key %s: signing: %w", s.Key.ID, err)
	}
	if err := s.Key.Verify(message, sig); err != nil {
		return nil, fmt.Errorf("key %s: what the signer returned: %w", s.Key.ID, err)
	}
	return sig, nil
}

// within calls f, but returns when ctx ends: signers may be remote, and need not heed a context.
func within[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := f()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// Sign signs a draft with the keys of role, all at once. Each signer's public key is compared with the declared one before it signs, and its
// signature is verified afterwards. The result carries just these signatures; ErrThreshold if they are too few, before anything is signed.
// The signatures are laid out as those that they replace.
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
	sigs := make([][]byte, len(signers))
	group, ctx := errgroup.WithContext(ctx)
	for i, s := range signers {
		group.Go(func() (err error) {
			sigs[i], err = s.sign(ctx, d.canonical)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	base := d.base.Document
	edits := append(slices.Clip(d.edits), edit{base.signatures, layout(base.signatures.of(base.raw), held, sigs)})
	signed, err := Parse(splice(base.raw, edits))
	if err != nil {
		return nil, fmt.Errorf("after signing: %w", err)
	}
	if !bytes.Equal(signed.canonical, d.canonical) {
		return nil, errors.New("after signing: the file does not say what was signed")
	}
	return &Verified{signed, role}, nil
}

// layout writes signatures as a JSON array in the layout of the one given.
func layout(old []byte, keys []*Key, sigs [][]byte) []byte {
	element, before, after := []byte(`{"keyid":"","sig":""}`), []byte(nil), []byte(nil)
	if start := bytes.IndexByte(old, '{'); start > 0 {
		first := old[start : start+value(old[start:]).length()]
		if c, err := canonicalize(first); err == nil && len(c.kept[levelTop]) == 2 {
			element, before, after = first, leading(old, start), leading(old, len(old)-1)
		}
	}
	out := []byte{'['}
	for i, k := range keys {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(out, before...), signatureLike(element, k.ID, sigs[i])...)
	}
	return append(append(out, after...), ']')
}

// signatureLike writes a signature object in the layout of another one, which has just the two members.
func signatureLike(element []byte, id string, sig []byte) []byte {
	c, err := canonicalize(element)
	if err != nil {
		return nil // cannot be: it was read before, and Sign reads the result
	}
	texts := [][]byte{quote(id), quote(hex.EncodeToString(sig))} // keyid sorts before sig
	var edits []edit
	for i, m := range c.kept[levelTop] {
		edits = append(edits, edit{m.srcValue, texts[i]})
	}
	return splice(element, edits)
}
