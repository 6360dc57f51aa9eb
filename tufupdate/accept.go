package tufupdate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

// CheckApp returns an error that wraps ErrInvalidApp unless app is a path of one or more plain
// segments, separated by single slashes. A segment may hold what a storage key may, but not begin
// with a dot.
func CheckApp(app string) error {
	if err := storage.CheckKey(app); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidApp, err)
	}
	for segment := range strings.SplitSeq(app, "/") {
		if strings.HasPrefix(segment, ".") {
			return fmt.Errorf("%w: %q begins a segment with a dot", ErrInvalidApp, app)
		}
	}
	return nil
}

// checkNames checks what can be checked without reading the repository.
func checkNames(app string, roles []string) error {
	if err := CheckApp(app); err != nil {
		return err
	}
	for _, role := range roles {
		switch role {
		case tufmeta.Root:
			return exit(app, ErrRootRole)
		case published.Default:
			return exit(app, fmt.Errorf("role without a name: %w", ErrUnknownRole))
		}
	}
	return nil
}

// accept checks a request as far as that takes few reads, and none if the app is cached. It returns
// the roles, each once: the defaults if there are none.
func (u *Updater) accept(ctx context.Context, app string, roles []string) ([]string, error) {
	if err := checkNames(app, roles); err != nil {
		return nil, err
	}
	settings, err := u.settings(ctx, app)
	if err != nil {
		return nil, err
	}
	q := published.Input{Roles: published.Unique(roles), Depth: published.ToTimestamp}
	if slices.ContainsFunc(roles, published.IsDelegated) {
		q.Depth = published.ToTargets
	}
	l := u.loader(app, settings)
	set := l.Remembered()
	repo, err := l.Load(ctx, set, q)
	if err != nil && set.Trusting() && ctx.Err() == nil { // cached files may be to blame
		set = set.Again()
		repo, err = l.Load(ctx, set, q)
	}
	if err != nil {
		return nil, exit(app, err)
	}
	u.memory.Offer(app, repofiles.State{Roots: repo.Roots, Files: set.Files()})
	return repo.Roles, nil
}

// exit returns an error of the rooms below as callers know it: with the app's name, and as a
// *VerificationError if a file cannot be trusted.
func exit(app string, err error) error {
	problem, ok := errors.AsType[*published.FileError](err)
	if !ok {
		return fmt.Errorf("app %s: %w", app, err)
	}
	verification := &VerificationError{
		App: app, Role: problem.Role, Version: problem.Version, File: problem.File, Err: problem.Err,
	}
	if before, _ := strings.CutSuffix(err.Error(), problem.Error()); before != "" {
		return fmt.Errorf("%s%w", before, verification)
	}
	return verification
}
