package keys_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/keys/keystest"
)

// opaque is a wrapper that does not say what it wraps.
type opaque struct{ keys.Provider }

func TestAProviderIsFoundBelowItsWrappers(t *testing.T) {
	m := keys.NewMemory()
	inner := keystest.NewFlaky(m, nil)
	outer := keystest.NewFlaky(inner, nil)

	found, ok := keys.As[*keys.Memory](outer)
	assert.True(t, ok)
	assert.Same(t, m, found)
	outermost, ok := keys.As[*keystest.Flaky](outer)
	assert.True(t, ok)
	assert.Same(t, outer, outermost, "the first one in the chain")
	counter, ok := keys.As[interface{ Count(keystest.Verb) int }](outer)
	assert.True(t, ok, "an interface will do")
	assert.Same(t, outer, counter)

	for name, p := range map[string]keys.Provider{
		"there is no such provider":     keystest.NewFlaky(keys.NewMemory(), nil),
		"a wrapper has no Unwrap":       opaque{outer},
		"a wrapper wraps nothing":       keystest.NewFlaky(nil, nil),
		"there is nothing to look into": nil,
	} {
		_, ok := keys.As[*keys.Dir](p)
		assert.False(t, ok, name)
	}
}
