package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/jsonform"
	"github.com/tufonline/tufonline/tufupdate"
)

func TestTheExampleSaysWhatTheSettingsAre(t *testing.T) {
	data, err := os.ReadFile("settings.example.json")
	require.NoError(t, err)
	s, err := parseSettings(data)
	require.NoError(t, err)
	const day = 24 * time.Hour
	assert.Equal(t, tufupdate.Settings{
		Targets: tufupdate.TargetsOffline,
		Validity: map[string]time.Duration{
			"timestamp": 36 * time.Hour, "snapshot": 7 * day, "team-a": 30 * day, "bins": 90 * day,
		},
		Believe: []tufupdate.Belief{
			{Role: "team-a", SHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
			{Role: "bins", Until: time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)},
		},
		Online:  []tufupdate.Delegation{{Declarer: "team-a", Role: "team-a-nightly"}},
		Uploads: []string{"team-a-nightly"}, HashBins: true, BothLayouts: true, Versions: map[string]int64{"team-b": 12},
	}, s)

	var form jsonform.Settings
	require.NoError(t, json.Unmarshal(data, &form))
	value := reflect.ValueOf(form)
	for i := range value.NumField() {
		assert.False(t, value.Field(i).IsZero(), "the example shows %s", value.Type().Field(i).Name)
	}
}

// A schema describes an object or a list.
type schema struct {
	Properties           map[string]schema
	Items                *schema
	AdditionalProperties any
}

func TestTheSchemaHasTheFieldsOfTheForm(t *testing.T) {
	data, err := os.ReadFile("settings.schema.json")
	require.NoError(t, err)
	var s schema
	require.NoError(t, json.Unmarshal(data, &s))
	sameFields(t, "settings", s, reflect.TypeFor[jsonform.Settings]())
}

func sameFields(t *testing.T, where string, s schema, form reflect.Type) {
	var names []string
	for field := range form.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
		if field.Type.Kind() == reflect.Slice && field.Type.Elem().Kind() == reflect.Struct {
			if items := s.Properties[name].Items; assert.NotNil(t, items, name) {
				sameFields(t, name, *items, field.Type.Elem())
			}
		}
	}
	assert.ElementsMatch(t, names, slices.Collect(maps.Keys(s.Properties)), where)
	assert.Equal(t, false, s.AdditionalProperties, where)
}

func TestSettingsThatMakeNoSenseAreRefused(t *testing.T) {
	sum := strings.Repeat("0", 64)
	for data, says := range map[string]string{
		``:                                              "empty",
		`{"target":"online"}`:                           `"target"`,
		`{"believe":[{"rolle":"x"}]}`:                   `"rolle"`,
		`{"uploads":["a"],"uploads":["b"]}`:             `"uploads" is there twice`,
		`{"targets":"Online"}`:                          "targets",
		`{"targets":true}`:                              "targets",
		`{"validity":{"timestamp":"0s"}}`:               "validity of timestamp",
		`{"validity":{"timestamp":"-1h"}}`:              "validity of timestamp",
		`{"validity":{"timestamp":"1"}}`:                "validity of timestamp",
		`{"validity":{"timestamp":"1.5d"}}`:             "validity of timestamp",
		`{"validity":{"timestamp":"-1d"}}`:              "validity of timestamp",
		`{"validity":{"timestamp":"36526d"}}`:           "validity of timestamp",
		`{"validity":{"timestamp":24}}`:                 "validity",
		`{"believe":[{"sha256":"` + sum + `"}]}`:        "role is needed",
		`{"believe":[{"role":"a"}]}`:                    "believe: a: sha256 is needed",
		`{"believe":[{"role":"a","sha256":"00"}]}`:      "not a SHA-256",
		`{"believe":[{"role":"a","until":"tomorrow"}]}`: "tomorrow",
		`{"online":[{"role":"a"}]}`:                     "online",
		`{"versions":{"a":0}}`:                          "versions: a",
		`{"versions":{"a":9007199254740992}}`:           "versions: a",
		`{"versions":{"a":1.5}}`:                        "versions",
	} {
		_, err := parseSettings([]byte(data))
		require.ErrorContains(t, err, says, data)
	}
	s, err := parseSettings([]byte(`{}`))
	require.NoError(t, err)
	assert.Equal(t, tufupdate.Settings{Validity: map[string]time.Duration{}}, s)
}

func write(t *testing.T, name, data string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
	require.NoError(t, os.WriteFile(name, []byte(data), 0o600))
}

func TestSettingsAreReadEachTime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "settings")
	file := filepath.Join(dir, "acme", "desktop.json")
	write(t, file, `{"targets":"offline"}`)
	folder, err := openSettings(dir)
	require.NoError(t, err)
	s, err := folder.settings(t.Context(), "acme/desktop")
	require.NoError(t, err)
	assert.Equal(t, tufupdate.TargetsOffline, s.Targets)
	write(t, file, `{"targets":"online"}`)
	s, err = folder.settings(t.Context(), "acme/desktop")
	require.NoError(t, err)
	assert.Equal(t, tufupdate.TargetsOnline, s.Targets)

	write(t, file, `{"target":"online"}`)
	_, err = folder.settings(t.Context(), "acme/desktop")
	require.ErrorContains(t, err, "acme/desktop.json")
	require.ErrorContains(t, err, `"target"`)

	for _, app := range []string{"acme/other", "other/desktop", "acme/desktop/beta"} {
		s, err = folder.settings(t.Context(), app)
		require.NoError(t, err, app)
		assert.Equal(t, tufupdate.Settings{}, s, "an app without a file has no settings")
	}
}

// An operator's decision must not get lost with a mount or a link.
func TestSettingsThatAreGoneAreAFailure(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside.json")
	write(t, outside, `{}`)
	dir := filepath.Join(t.TempDir(), "settings")
	write(t, filepath.Join(dir, "acme", "desktop.json"), `{}`)
	require.NoError(t, os.Symlink("nowhere.json", filepath.Join(dir, "acme", "dangling.json")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "owner")))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "acme", "link.json")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "acme", "folder.json"), 0o700))
	folder, err := openSettings(dir)
	require.NoError(t, err)
	for _, app := range []string{"acme/dangling", "owner/desktop", "acme/link", "acme/folder", "../outside"} {
		_, err = folder.settings(t.Context(), app)
		require.Error(t, err, app)
	}
	_, err = folder.settings(t.Context(), "acme/none")
	require.NoError(t, err)

	require.NoError(t, os.Rename(dir, dir+".old"))
	_, err = folder.settings(t.Context(), "acme/none")
	require.ErrorContains(t, err, "moved or removed")
	_, err = openSettings(dir)
	require.ErrorContains(t, err, "settings")
}

func TestFilesHaveWhatRedisDoesNotKnow(t *testing.T) {
	redis := func(s tufupdate.Settings, err error) settingsFunc {
		return func(context.Context, string) (tufupdate.Settings, error) { return s, err }
	}
	validity := map[string]time.Duration{"timestamp": time.Hour}
	s, err := combined(redis(tufupdate.Settings{Targets: tufupdate.TargetsOffline, Validity: validity}, nil),
		redis(tufupdate.Settings{Uploads: []string{"a"}, HashBins: true}, nil))(t.Context(), "acme/desktop")
	require.NoError(t, err)
	assert.Equal(t, tufupdate.Settings{
		Targets: tufupdate.TargetsOffline, Validity: validity, Uploads: []string{"a"}, HashBins: true,
	}, s)

	for _, file := range []tufupdate.Settings{{Targets: tufupdate.TargetsOnline}, {Validity: validity}} {
		_, err = combined(redis(tufupdate.Settings{}, nil), redis(file, nil))(t.Context(), "acme/desktop")
		require.ErrorContains(t, err, "Redis decides")
	}
	down := errors.New("down")
	_, err = combined(redis(tufupdate.Settings{}, down), redis(tufupdate.Settings{}, nil))(t.Context(), "acme/desktop")
	require.ErrorIs(t, err, down)
	_, err = combined(redis(tufupdate.Settings{}, nil), redis(tufupdate.Settings{}, down))(t.Context(), "acme/desktop")
	require.ErrorIs(t, err, down)
	s, err = combined(redis(tufupdate.Settings{NotReady: "x"}, nil), redis(tufupdate.Settings{}, down))(t.Context(), "a/b")
	require.NoError(t, err)
	assert.Equal(t, "x", s.NotReady)
}
