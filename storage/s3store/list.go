package s3store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/tufonline/tufonline/storage"
)

// List implements storage.Lister. What lies in the bucket under names that are no keys, such as
// "folder/", is left out.
func (s *Store) List(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: s.name(prefix)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx, s.watch)
		if err != nil {
			return nil, fmt.Errorf("list %q: %w", prefix, failure(ctx, err))
		}
		for _, object := range page.Contents {
			key, ours := strings.CutPrefix(aws.ToString(object.Key), s.opts.Prefix)
			if ours && storage.CheckKey(key) == nil {
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys) // by bytes, whatever the service's own order is
	return keys, nil
}
