package testrepo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/tufonline/tufonline/storage"
)

// A Client is go-tuf's client, which reads a store as if over HTTP. With a cache, it keeps its
// trusted files from one refresh to the next.
type Client struct {
	config *config.UpdaterConfig
	fetch  *fetcher
}

const baseURL = "https://repository.invalid/"

// NewClient returns a client of an app that trusts only a root. Without cache the client forgets
// every file after a refresh.
func NewClient(t testing.TB, store storage.Store, app string, root []byte, cache bool) *Client {
	t.Helper()
	cfg, err := config.New(baseURL, root)
	require.NoError(t, err)
	c := &Client{config: cfg, fetch: &fetcher{ctx: t.Context(), store: store, app: app}}
	cfg.Fetcher = c.fetch
	cfg.DisableLocalCache = !cache
	if cache {
		cfg.LocalMetadataDir, cfg.LocalTargetsDir = t.TempDir(), t.TempDir()
	}
	return c
}

// Refresh updates root, timestamp, snapshot and targets.
func (c *Client) Refresh() error {
	_, err := c.refresh()
	return err
}

func (c *Client) refresh() (*updater.Updater, error) {
	u, err := updater.New(c.config)
	if err != nil {
		return nil, err
	}
	return u, u.Refresh()
}

// Target refreshes and downloads a target file through the delegations that lead to it.
func (c *Client) Target(path string) ([]byte, error) {
	u, err := c.refresh()
	if err != nil {
		return nil, err
	}
	info, err := u.GetTargetInfo(path)
	if err != nil {
		return nil, err
	}
	_, data, err := u.DownloadTarget(info, "", "")
	return data, err
}

// Versions refreshes and returns the versions that the client now trusts, by role: root, timestamp,
// snapshot, and every role that the snapshot lists.
func (c *Client) Versions() (map[string]int64, error) {
	u, err := c.refresh()
	if err != nil {
		return nil, err
	}
	trusted := u.GetTrustedMetadataSet()
	versions := map[string]int64{
		metadata.ROOT:      trusted.Root.Signed.Version,
		metadata.TIMESTAMP: trusted.Timestamp.Signed.Version,
		metadata.SNAPSHOT:  trusted.Snapshot.Signed.Version,
	}
	for name, meta := range trusted.Snapshot.Signed.Meta {
		versions[strings.TrimSuffix(name, ".json")] = meta.Version
	}
	return versions, nil
}

type fetcher struct {
	ctx   context.Context
	store storage.Store
	app   string
}

// DownloadFile implements go-tuf's fetcher.Fetcher.
func (f *fetcher) DownloadFile(rawURL string, maxLength int64, _ time.Duration) ([]byte, error) {
	path, err := url.PathUnescape(strings.TrimPrefix(rawURL, baseURL))
	if err != nil {
		return nil, err
	}
	object, err := f.store.Get(f.ctx, f.app+"/"+path)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: http.StatusNotFound, URL: rawURL}
	}
	if err != nil {
		return nil, err
	}
	if int64(len(object.Data)) > maxLength {
		return nil, &metadata.ErrDownloadLengthMismatch{Msg: fmt.Sprintf("%s has %d bytes, limit %d", path, len(object.Data),
			maxLength)}
	}
	return object.Data, nil
}
