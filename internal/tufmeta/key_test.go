package tufmeta

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// Canonical JSON has control characters as they are, so it is not JSON.
func TestAKeyObjectIsHandedOutAsJSON(t *testing.T) {
	text := []byte(`{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"00\n\u0000\u001f\"\\"},` +
		`"x-uri":"gcpkms:a\tb","x\u007f\u00fc\n":[1]}`)
	c, err := canonicalize(text, levelObject)
	require.NoError(t, err)
	require.False(t, json.Valid(c.out))
	k := parseKey("a", c.out)
	requireSameValue(t, text, k.Declared)
}

// What a key provider does to the key object must not change what is signed.
func TestAKeyObjectIsACopy(t *testing.T) {
	c, err := canonicalize([]byte(`{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"00"}}`), levelObject)
	require.NoError(t, err)
	before := bytes.Clone(c.out)
	k := parseKey("a", c.out)
	clear(k.Declared)
	require.Equal(t, before, c.out)
}
