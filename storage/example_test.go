package storage_test

import (
	"context"
	"fmt"
	"log"
	"net/url"
	"os"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/memblob" // or gcsblob, azureblob, …

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/filestore"
	"github.com/tufonline/tufonline/storage/s3store"
)

func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "tuf")
	if err != nil {
		log.Fatal(err)
	}
	s, err := storage.Open(ctx, "file://"+dir+"?create_dir=true&limit=10000000", filestore.Driver(), s3store.Driver())
	if err != nil {
		log.Fatal(err)
	}
	version, err := s.Replace(ctx, "app/timestamp.json", storage.Absent, []byte(`{"version":1}`))
	if err != nil {
		log.Fatal(err)
	}
	if _, err = s.Replace(ctx, "app/timestamp.json", version, []byte(`{"version":2}`)); err != nil {
		log.Fatal(err)
	}
	_, err = s.Replace(ctx, "app/timestamp.json", version, []byte(`{"version":2,"late":true}`))
	fmt.Println(err)

	if err := os.RemoveAll(dir); err != nil {
		log.Fatal(err)
	}
	// Output: replace app/timestamp.json: object has changed
}

// Any of gocloud's buckets can be a store, for one process.
func ExampleDriver() {
	bucket := storage.Driver{Scheme: "bucket",
		Open: func(ctx context.Context, u *url.URL, limit int64) (storage.Store, error) {
			if err := storage.CheckParams(u); err != nil {
				return nil, err
			}
			b, err := blob.OpenBucket(ctx, "mem://")
			if err != nil {
				return nil, err
			}
			s := storage.NewBucket(b)
			s.Limit = limit
			return s, nil
		}}
	s, err := storage.Open(context.Background(), "bucket://?colour=red", bucket)
	fmt.Println(s, err)
	// Output: <nil> storage URL bucket://: unknown query parameter "colour": not one of limit
}

func ExampleProbe() {
	ctx := context.Background()
	s, err := storage.Open(ctx, "mem://")
	if err != nil {
		log.Fatal(err)
	}
	if err := storage.Probe(ctx, s, "scratch/"); err != nil {
		log.Fatal(err)
	}
	fmt.Println("writes are atomic")
	// Output: writes are atomic
}
