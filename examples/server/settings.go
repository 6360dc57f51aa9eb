package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tufonline/tufonline/internal/jsonform"
	"github.com/tufonline/tufonline/tufupdate"
)

// settingsFunc is the type of tufupdate.Config.Settings.
type settingsFunc func(ctx context.Context, app string) (tufupdate.Settings, error)

// A settingsFolder holds the settings of apps, as <owner>/<app>.json. Files are not cached.
type settingsFolder struct {
	dir    string
	folder *os.Root // no name and no link leads out of it
}

func openSettings(dir string) (settingsFolder, error) {
	folder, err := os.OpenRoot(dir)
	if err != nil {
		return settingsFolder{}, fmt.Errorf("opening the settings: %w", err)
	}
	return settingsFolder{dir, folder}, nil
}

// settings returns the settings of an app, the zero Settings if it has no file.
func (f settingsFolder) settings(_ context.Context, app string) (tufupdate.Settings, error) {
	name := app + ".json"
	data, err := f.folder.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return tufupdate.Settings{}, f.none(name)
	}
	if err != nil {
		return tufupdate.Settings{}, fmt.Errorf("reading the settings: %w", err)
	}
	s, err := parseSettings(data)
	if err != nil {
		return tufupdate.Settings{}, fmt.Errorf("settings in %s: %w", name, err)
	}
	return s, nil
}

// none returns an error unless it is certain that the folder has no such file. A folder that was
// removed, or a link that leads nowhere, must not undo an operator's decisions.
func (f settingsFolder) none(name string) error {
	opened, err := f.folder.Stat(".")
	if err != nil {
		return fmt.Errorf("reading the settings: %w", err)
	}
	if named, err := os.Stat(f.dir); err != nil || !os.SameFile(opened, named) {
		return fmt.Errorf("reading the settings: the folder %s has been moved or removed", f.dir)
	}
	for i, c := range name + "/" {
		if c != '/' {
			continue
		}
		if _, err := f.folder.Lstat(name[:i]); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if _, err := f.folder.Stat(name[:i]); err != nil {
			return fmt.Errorf("reading the settings: %w", err)
		}
	}
	return nil
}

// parseSettings reads a file of settings. Errors name the field.
func parseSettings(data []byte) (s tufupdate.Settings, err error) {
	var form jsonform.Settings
	if err := jsonform.Decode(data, &form); err != nil {
		return s, err
	}
	s = tufupdate.Settings{
		Uploads: form.Uploads, HashBins: form.HashBins, BothLayouts: form.BothLayouts, Versions: form.Versions,
		Validity: map[string]time.Duration{},
	}
	if s.Targets, err = parseTargets(form.Targets); err != nil {
		return s, fmt.Errorf("targets: %w", err)
	}
	for role, text := range form.Validity {
		if s.Validity[role], err = parseValidity(text); err != nil {
			return s, fmt.Errorf("validity of %s: %w", role, err)
		}
	}
	for _, b := range form.Believe {
		if err := checkBelief(b); err != nil {
			return s, fmt.Errorf("believe: %w", err)
		}
		s.Believe = append(s.Believe, tufupdate.Belief(b))
	}
	for _, d := range form.Online {
		if d.Declarer == "" || d.Role == "" {
			return s, errors.New("online: declarer and role are needed")
		}
		s.Online = append(s.Online, tufupdate.Delegation(d))
	}
	for role, version := range form.Versions {
		if version < 1 || version > maxVersion {
			return s, fmt.Errorf("versions: %s: %d is not from 1 to %d", role, version, int64(maxVersion))
		}
	}
	return s, nil
}

// maxVersion is the highest version that every client can read.
const maxVersion = 1<<53 - 1

func parseTargets(text string) (tufupdate.TargetsMode, error) {
	switch text {
	case "", "keys":
		return tufupdate.TargetsByKeys, nil
	case "online":
		return tufupdate.TargetsOnline, nil
	case "offline":
		return tufupdate.TargetsOffline, nil
	}
	return 0, fmt.Errorf("%q is none of keys, online and offline", text)
}

// parseValidity reads a time such as 30d, 36h or 90m.
func parseValidity(text string) (time.Duration, error) {
	const day, most = 24 * time.Hour, 36525 // days, a hundred years
	validity, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if n, err = strconv.Atoi(days); err == nil {
			validity = time.Duration(min(n, most+1)) * day
		}
	}
	if err != nil || validity < time.Second || validity > most*day {
		return 0, fmt.Errorf("%q is not a time such as 30d, 36h or 90m, from a second to a hundred years", text)
	}
	return validity, nil
}

func checkBelief(b jsonform.Belief) error {
	if b.Role == "" {
		return errors.New("role is needed")
	}
	if b.SHA256 == "" {
		if b.Until.IsZero() {
			return fmt.Errorf("%s: sha256 is needed, or until for the prefix of bins", b.Role)
		}
		return nil
	}
	if sum, err := hex.DecodeString(b.SHA256); err != nil || len(sum) != 32 || hex.EncodeToString(sum) != b.SHA256 {
		return fmt.Errorf("%s: sha256: %q is not a SHA-256 in hex, in lower case", b.Role, b.SHA256)
	}
	return nil
}

// combined returns settings of which another system has the first part, such as the Redis of
// faynoSync, and files have what that system does not know.
func combined(system, files settingsFunc) settingsFunc {
	return func(ctx context.Context, app string) (tufupdate.Settings, error) {
		s, err := system(ctx, app)
		if err != nil || s.NotReady != "" {
			return s, err
		}
		file, err := files(ctx, app)
		if err != nil {
			return tufupdate.Settings{}, err
		}
		if file.Targets != tufupdate.TargetsByKeys || len(file.Validity) > 0 {
			return tufupdate.Settings{},
				fmt.Errorf("settings in %s.json: with -faynosync, Redis decides targets and validity", app)
		}
		s.Believe, s.Online, s.Uploads = file.Believe, file.Online, file.Uploads
		s.HashBins, s.BothLayouts, s.Versions = file.HashBins, file.BothLayouts, file.Versions
		return s, nil
	}
}
