package tufupdate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/internal/release"
	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/tasks"
)

// roll signs and publishes new versions of roles. The combiner calls it.
func (u *Updater) roll(ctx context.Context, app string, roles []string) (tasks.Result, error) {
	settings, err := u.settings(ctx, app)
	if err != nil {
		return tasks.Result{}, err
	}
	r := &release.Roll{Loader: u.loader(app, settings), Roles: roles, Validity: settings.validity()}
	r.Restart = func(attempt int, reason error) {
		u.log.DebugContext(ctx, "beginning again", "app", app, "attempt", attempt, "reason", reason)
	}
	outcome, err := r.Run(ctx)
	if err != nil {
		return tasks.Result{}, exit(app, err)
	}
	return u.result(ctx, app, outcome), nil
}

// loader returns what loads an app's repository.
func (u *Updater) loader(app string, settings Settings) release.Loader {
	return release.Loader{
		App:    app,
		Store:  u.store,
		Memory: u.memory,
		Record: u.record,
		Ring:   custody.NewKeyring(u.config.Keys, app, settings.policy()),
		Word:   settings.word(),
		Pin:    func(ctx context.Context) ([]byte, error) { return u.pinnedRoot(ctx, app) },
		First:  func(repo *published.Repository, pinned bool) { u.reportFirst(app, repo, pinned) },
	}
}

// pinnedRoot returns the root that an app is trusted by, nil for the first one seen.
func (u *Updater) pinnedRoot(ctx context.Context, app string) ([]byte, error) {
	data, err := u.config.Roots(ctx, app)
	if errors.Is(err, errTrustFirst) {
		return nil, nil
	}
	if err == nil && len(data) == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("pinned root: %w", err)
	}
	return data, nil
}

// reportFirst logs what is trusted of an app of which nothing was remembered.
func (u *Updater) reportFirst(app string, repo *published.Repository, pinned bool) {
	attrs := []any{"app", app, "root", repo.Root().Version()}
	for _, below := range []struct {
		role string
		d    *published.Document
	}{{tufmeta.Timestamp, repo.Timestamp}, {tufmeta.Snapshot, repo.Snapshot}} {
		if below.d != nil {
			attrs = append(attrs, below.role, below.d.Version())
		}
	}
	u.log.Info("nothing is remembered of the app: what is published is taken for the newest", attrs...)
	if first := repo.Roots[0]; !pinned {
		u.log.Warn("no root is pinned for the app: trusting the first one seen", "app", app, "role", tufmeta.Root,
			"version", first.Version(), "sha256", fmt.Sprintf("%x", sha256.Sum256(first.Bytes())))
	}
}

// result says what was published, and logs it.
func (u *Updater) result(ctx context.Context, app string, outcome release.Outcome) tasks.Result {
	result := tasks.Result{Versions: map[string]int64{}, Accepted: outcome.Accepted, Warnings: outcome.Warnings}
	var expires time.Time // first
	for _, v := range outcome.Published {
		role := v.Role().Name
		result.Roles = append(result.Roles, role)
		result.Versions[role] = v.Version()
		if expires.IsZero() || v.Expires().Before(expires) {
			expires = v.Expires()
		}
	}
	attrs := []any{"app", app, "versions", result.Versions, "expires", expires}
	if len(result.Accepted) > 0 {
		attrs = append(attrs, "accepted", result.Accepted)
	}
	u.log.InfoContext(ctx, "published", attrs...)
	for _, warning := range outcome.Warnings {
		u.log.WarnContext(ctx, warning, "app", app)
	}
	return result
}
