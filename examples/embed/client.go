package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/tufonline/tufonline/storage"
)

const baseURL = "https://repository.invalid/"

// download downloads a target file with go-tuf's client, which trusts only root, as an end user's
// machine does.
func download(ctx context.Context, store storage.Store, root []byte, path string) ([]byte, error) {
	cfg, err := config.New(baseURL, root)
	if err != nil {
		return nil, err
	}
	cfg.Fetcher, cfg.DisableLocalCache = fetcher{ctx, store}, true
	client, err := updater.New(cfg)
	if err != nil {
		return nil, err
	}
	if err := client.Refresh(); err != nil {
		return nil, err
	}
	info, err := client.GetTargetInfo(path)
	if err != nil {
		return nil, err
	}
	_, data, err := client.DownloadTarget(info, "", "")
	return data, err
}

// A fetcher reads the store instead of an HTTP server.
type fetcher struct {
	ctx   context.Context
	store storage.Store
}

// DownloadFile implements go-tuf's fetcher.Fetcher.
func (f fetcher) DownloadFile(rawURL string, maxLength int64, _ time.Duration) ([]byte, error) {
	path, err := url.PathUnescape(strings.TrimPrefix(rawURL, baseURL))
	if err != nil {
		return nil, err
	}
	object, err := f.store.Get(f.ctx, app+"/"+path)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: http.StatusNotFound, URL: rawURL}
	}
	if err != nil {
		return nil, err
	}
	if int64(len(object.Data)) > maxLength {
		return nil, &metadata.ErrDownloadLengthMismatch{Msg: path}
	}
	return object.Data, nil
}
