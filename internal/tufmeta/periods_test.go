package tufmeta_test

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/tufmeta"
)

const day = 24 * time.Hour

func TestPeriodsCountDaysOrHours(t *testing.T) {
	key := edKey(t, "a")
	for name, test := range map[string]struct {
		days, hours any // nil: the field is missing
		want        time.Duration
	}{
		"neither":                      {},
		"days":                         {days: 7, want: 7 * day},
		"hours":                        {hours: 36, want: 36 * time.Hour},
		"hours win":                    {days: 7, hours: 36, want: 36 * time.Hour},
		"hours that make no sense":     {days: 7, hours: 0, want: 7 * day},
		"days that make no sense":      {days: "7", hours: 36, want: 36 * time.Hour},
		"nothing":                      {days: 0},
		"less than nothing":            {days: -1, hours: -1},
		"text":                         {days: "7", hours: "36"},
		"an object":                    {days: object{"x": 7}, hours: []any{36}},
		"a hundred years":              {days: 36525, want: 36525 * day},
		"more":                         {days: 36526, hours: 36525*24 + 1},
		"what overflows as a duration": {days: 1 << 40, hours: 1 << 50},
	} {
		t.Run(name, func(t *testing.T) {
			for _, what := range []string{"expiry", "signing"} {
				fields := object{}
				if test.days != nil {
					fields["x-tuf-on-ci-"+what+"-period"] = test.days
				}
				if test.hours != nil {
					fields["x-tuf-on-ci-"+what+"-period-hours"] = test.hours
				}
				body := rootOf(1, 1, key)
				maps.Copy(body, fields)
				maps.Copy(body["roles"].(object)["timestamp"].(object), fields)
				root, err := tufmeta.ParseRoot(parse(t, signed(t, body, key)))
				require.NoError(t, err)
				want := map[string]time.Duration{what: test.want}
				assert.Equal(t, want["expiry"], root.ExpiryPeriod())
				assert.Equal(t, want["signing"], root.SigningPeriod())
				assert.Equal(t, want["expiry"], root.Roles["timestamp"].ExpiryPeriod)
				assert.Equal(t, want["signing"], root.Roles["timestamp"].SigningPeriod)
			}
		})
	}
}

func TestPeriodsOfSigstoresRepository(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "sigstore-root-signing", "metadata", "12.root.json"))
	require.NoError(t, err)
	root, err := tufmeta.ParseRoot(parse(t, data))
	require.NoError(t, err)
	assert.Equal(t, 7*day, root.Roles["timestamp"].ExpiryPeriod)
	assert.Equal(t, 6*day, root.Roles["timestamp"].SigningPeriod)
	assert.Equal(t, 197*day, root.ExpiryPeriod())
	assert.Equal(t, 46*day, root.SigningPeriod())
}
