package bucketstore_test

import (
	"context"
	"fmt"
	"net/url"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/memblob" // or gcsblob, azureblob, …

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/bucketstore"
)

// A program makes a driver for storage.Open of the buckets that it links.
func ExampleNew() {
	bucket := storage.Driver{Scheme: "bucket",
		Open: func(ctx context.Context, u *url.URL, limit int64) (storage.Store, error) {
			if err := storage.CheckParams(u); err != nil {
				return nil, err
			}
			b, err := blob.OpenBucket(ctx, "mem://")
			if err != nil {
				return nil, err
			}
			return bucketstore.New(b, bucketstore.Options{Limit: limit}), nil
		}}
	s, err := storage.Open(context.Background(), "bucket://?colour=red", bucket)
	fmt.Println(s, err)
	// Output: <nil> storage URL bucket://: unknown query parameter "colour": not one of limit
}
