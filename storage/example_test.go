package storage_test

import (
	"context"
	"fmt"
	"log"
	"os"

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

func ExampleProbe() {
	ctx := context.Background()
	s, err := storage.Open(ctx, "mem://")
	if err != nil {
		log.Fatal(err)
	}
	if err := storage.Probe(ctx, s, storage.ProbeOptions{Prefix: "scratch/"}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("writes are atomic")
	// Output: writes are atomic
}
