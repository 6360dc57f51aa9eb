package s3store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"gocloud.dev/blob/s3blob"

	"github.com/tufonline/tufonline/storage"
)

// Driver opens URLs such as s3://bucket?region=eu-central-1&prefix=tuf/ with the parameters of
// gocloud's s3blob: region, endpoint, use_path_style, profile, role, anonymous, ssetype, kmskeyid
// and others. Credentials come from where the AWS client looks for them.
func Driver() storage.Driver { return storage.Driver{Scheme: s3blob.Scheme, Open: open} }

func open(ctx context.Context, u *url.URL, limit int64) (storage.Store, error) {
	if folder := strings.Trim(u.Path, "/"); folder != "" {
		return nil, fmt.Errorf("path /%s: the folder in a bucket is a parameter, prefix=%s/", folder, folder)
	}
	query := u.Query()
	if endpoint, err := url.Parse(query.Get("endpoint")); err != nil || endpoint.User != nil {
		return nil, errors.New("query parameter endpoint: not a URL without user and password")
	}
	prefix := query.Get("prefix")
	query.Del("prefix") // gocloud would wrap the bucket in it, and the client behind that would not know
	plain := &url.URL{Scheme: u.Scheme, Host: u.Host, RawQuery: query.Encode()}

	var opener s3blob.URLOpener
	bucket, err := opener.OpenBucketURL(ctx, plain)
	if err != nil { // it may quote the whole URL
		return nil, errors.New(strings.ReplaceAll(err.Error(), plain.String(), u.Host))
	}
	return New(bucket, u.Host, Options{
		Prefix:     prefix,
		Limit:      limit,
		Encryption: opener.Options.EncryptionType,
		KMSKeyID:   opener.Options.KMSEncryptionID,
	})
}
