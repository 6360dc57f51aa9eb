package testrepo

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/stretchr/testify/require"
)

// SignRaw signs any JSON value with these keys and returns the file. Numbers in it are json.Number
// where they have to stay as they are.
func SignRaw(t testing.TB, signed any, keys ...*Key) []byte {
	t.Helper()
	canonical, err := cjson.EncodeCanonical(signed)
	require.NoError(t, err)
	signatures := []map[string]string{}
	for _, k := range keys {
		sig, err := k.Sigstore(t).SignMessage(bytes.NewReader(canonical))
		require.NoError(t, err)
		signatures = append(signatures, map[string]string{"keyid": k.ID, "sig": hex.EncodeToString(sig)})
	}
	data, err := json.Marshal(map[string]any{"signatures": signatures, "signed": signed})
	require.NoError(t, err)
	return data
}
