package s3store_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/s3store"
)

func TestURL(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "access")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	fake := newFakeS3()
	server := httptest.NewServer(fake)
	defer server.Close()
	base := "s3://bucket?region=us-east-1&use_path_style=true&endpoint=" + server.URL

	s, err := storage.Open(t.Context(), base+"&prefix=tuf/&limit=3&ssetype=AES256", s3store.Driver())
	require.NoError(t, err)
	_, err = s.Create(t.Context(), "key", []byte("four"))
	require.NoError(t, err)
	_, err = s.Get(t.Context(), "key")
	require.ErrorIs(t, err, storage.ErrTooLarge, "limit")
	assert.Equal(t, "four", string(fake.object("tuf/key").data), "prefix")
	assert.Equal(t, "AES256", fake.object("tuf/key").header.Get("x-amz-server-side-encryption"), "ssetype")
}

// TestURLsSayWhoAsks tells by the signature of a request whose credentials were used.
func TestURLsSayWhoAsks(t *testing.T) {
	fake := newFakeS3()
	server := httptest.NewServer(fake)
	defer server.Close()
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "arn:aws:iam::1:role/signer", r.FormValue("RoleArn"))
		fmt.Fprint(w, `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>of-role</AccessKeyId>`+
			`<SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>`+
			`<Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`)
	}))
	defer sts.Close()
	files := filepath.Join(t.TempDir(), "credentials")
	require.NoError(t, os.WriteFile(files,
		[]byte("[default]\naws_access_key_id=of-default\naws_secret_access_key=secret\n"+
			"[other]\naws_access_key_id=of-other\naws_secret_access_key=secret\n"), 0o600))
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", files)
	t.Setenv("AWS_CONFIG_FILE", files)
	t.Setenv("AWS_ENDPOINT_URL_STS", sts.URL)

	for params, want := range map[string]string{
		"":                                 "Credential=of-default/",
		"&profile=other":                   "Credential=of-other/",
		"&role=arn:aws:iam::1:role/signer": "Credential=of-role/",
		"&anonymous=false":                 "Credential=of-default/",
		"&anonymous=true":                  "",
	} {
		s, err := storage.Open(t.Context(),
			"s3://bucket?region=us-east-1&use_path_style=true&endpoint="+server.URL+params, s3store.Driver())
		require.NoError(t, err, params)
		_, err = s.Create(t.Context(), "key"+params, []byte("x"))
		require.NoError(t, err, params)
		signature := fake.object("key" + params).header.Get("Authorization")
		if want == "" {
			assert.Empty(t, signature, params)
		} else {
			assert.Contains(t, signature, want, params)
		}
	}
}

func TestURLErrorsNameTheFaultAndShowNoSecret(t *testing.T) {
	for name, c := range map[string]struct{ url, says string }{
		"unknown parameter":      {"s3://bucket?region=x&secret_access_key=hunter2", `"secret_access_key"`},
		"bad value":              {"s3://bucket?use_path_style=perhaps", `use_path_style="perhaps"`},
		"path":                   {"s3://bucket/folder", "prefix=folder/"},
		"given twice":            {"s3://bucket?prefix=a&prefix=b", `"prefix"`},
		"password":               {"s3://user:hunter2@bucket", "credentials"},
		"password in endpoint":   {"s3://bucket?endpoint=http://user:hunter2@host", "endpoint"},
		"endpoint is no URL":     {"s3://bucket?endpoint=:hunter2", "endpoint"},
		"prefix is no folder":    {"s3://bucket?prefix=a//", "prefix"},
		"role is no ARN":         {"s3://bucket?role=admin", `role="admin"`},
		"neither true nor false": {"s3://bucket?anonymous=1.0", `anonymous="1.0"`},
		"endpoint has no host":   {"s3://bucket?endpoint=localhost:9000", "endpoint"},
		"no bucket":              {"s3://?region=x", "bucket"},
		"unknown encryption":     {"s3://bucket?ssetype=rot13", "ssetype"},
		"not enough to parse":    {"s3://user:hunter2:%zz@bucket", "cannot be parsed"},
		"secret with a slash":    {"s3://user:hunt/er2@bucket", "cannot be parsed"},
		"bad escape in a query":  {"s3://bucket?secret=hunter2%zz", "query"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := storage.Open(t.Context(), c.url, s3store.Driver())
			require.ErrorContains(t, err, c.says)
			assert.NotContains(t, err.Error(), "hunt")
		})
	}
}
