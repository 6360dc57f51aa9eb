package keys

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

func TestSchemesHaveTheNamesThatGoTUFGivesThem(t *testing.T) {
	assert.Equal(t, metadata.KeySchemeEd25519, schemeEd25519)
	assert.Equal(t, metadata.KeySchemeECDSA_SHA2_P256, schemeECDSAP256)
	assert.Equal(t, metadata.KeySchemeECDSA_SHA2_P384, schemeECDSAP384)
	assert.Equal(t, metadata.KeySchemeRSASSA_PSS_SHA256, schemePSSSHA256)
}
