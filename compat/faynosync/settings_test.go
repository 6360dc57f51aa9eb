package faynosync_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/compat/faynosync"
	"github.com/tufonline/tufonline/tufupdate"
)

const day = 24 * time.Hour

// installed returns a Redis in which acme/desktop is bootstrapped. values are more keys and values.
func installed(values map[string]string) *fakeRedis {
	f := newFakeRedis()
	f.values["BOOTSTRAP_acme_desktop"] = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
	maps.Copy(f.values, values)
	return f
}

func settings(t testing.TB, f *fakeRedis) (tufupdate.Settings, error) {
	t.Helper()
	return faynosync.Settings(f.client(t))(t.Context(), "acme/desktop")
}

func TestBootstrapDecidesWhetherAnAppIsReady(t *testing.T) {
	for value, want := range map[string]string{
		"":                                     "it has not been bootstrapped",
		"pre-":                                 "its bootstrap is under way",
		"pre-7c9e6679":                         "its bootstrap is under way",
		"signing-7c9e6679":                     "the signing of its root is under way",
		"7c9e6679-7425-40de-944b-e07fc1f90ae7": "",
		"presently":                            "",
		"PRE-7c9e6679":                         "",
	} {
		t.Run(value, func(t *testing.T) {
			got, err := settings(t, installed(map[string]string{"BOOTSTRAP_acme_desktop": value}))
			require.NoError(t, err)
			assert.Equal(t, want, got.NotReady)
		})
	}
	t.Run("absent", func(t *testing.T) {
		got, err := settings(t, newFakeRedis())
		require.NoError(t, err)
		assert.Equal(t, "it has not been bootstrapped", got.NotReady)
	})
}

func TestTargetsIsOnlineUnlessSomethingElseIsSaid(t *testing.T) {
	for value, want := range map[string]tufupdate.TargetsMode{
		"true": tufupdate.TargetsOnline, "True": tufupdate.TargetsOnline, "1": tufupdate.TargetsOnline,
		"false": tufupdate.TargetsOffline, "False": tufupdate.TargetsOffline, "0": tufupdate.TargetsOffline,
		"TRUE": tufupdate.TargetsOffline, "yes": tufupdate.TargetsOffline, "on": tufupdate.TargetsOffline,
		"": tufupdate.TargetsOffline,
	} {
		t.Run(value, func(t *testing.T) {
			got, err := settings(t, installed(map[string]string{"TARGETS_ONLINE_KEY_acme_desktop": value}))
			require.NoError(t, err)
			assert.Equal(t, want, got.Targets)
		})
	}
	t.Run("absent", func(t *testing.T) {
		got, err := settings(t, installed(nil))
		require.NoError(t, err)
		assert.Equal(t, tufupdate.TargetsOnline, got.Targets)
	})
}

func TestDaysAreValidity(t *testing.T) {
	f := installed(map[string]string{
		"TIMESTAMP_EXPIRATION_acme_desktop": "1", "TARGETS_EXPIRATION_acme_desktop": "365",
		"team_EXPIRATION_acme_desktop": "30",
		"TEAM_EXPIRATION_acme_desktop": "31", "SNAPSHOT_EXPIRATION_acme": "9", "SNAPSHOT_EXPIRATION_acme_desktop2": "9",
	})
	got, err := settings(t, f)
	require.NoError(t, err)
	for role, want := range map[string]time.Duration{"timestamp": day, "targets": 365 * day, "snapshot": 0} {
		assert.Equal(t, want, got.Validity[role], role)
	}
	for role, want := range map[string]time.Duration{"team": 30 * day, "TEAM": 31 * day, "other": 0} {
		validity, err := got.ValidityOf(t.Context(), role)
		require.NoError(t, err)
		assert.Equal(t, want, validity, role)
	}
}

func TestWhatIsNoNumberOfDaysIsAnErrorThatNamesTheKey(t *testing.T) {
	for _, value := range []string{"", " ", "0", "-1", "0.5", "1 ", "1d", "1e2", "0x10", "36526", "106752",
		"9223372036854775808", "a week"} {
		for role, key := range map[string]string{
			"timestamp": "TIMESTAMP_EXPIRATION_acme_desktop", "snapshot": "SNAPSHOT_EXPIRATION_acme_desktop",
			"targets": "TARGETS_EXPIRATION_acme_desktop", "team": "team_EXPIRATION_acme_desktop",
		} {
			t.Run(role+" "+value, func(t *testing.T) {
				got, err := settings(t, installed(map[string]string{key: value}))
				if role == "team" {
					require.NoError(t, err, "settings do not read the days of delegated roles")
					_, err = got.ValidityOf(t.Context(), role)
				}
				require.ErrorContains(t, err, "redis: key "+key+": ")
				assert.ErrorContains(t, err, "whole number of days")
			})
		}
	}
}

func TestSettingsAreOneRoundTrip(t *testing.T) {
	f := installed(map[string]string{"TIMESTAMP_EXPIRATION_acme_desktop": "1", "SNAPSHOT_EXPIRATION_acme_desktop": "7"})
	_, err := settings(t, f)
	require.NoError(t, err)
	f.set(func() { assert.Equal(t, 1, f.reads) })
}

func TestAFailureOfRedisIsNoDefault(t *testing.T) {
	keys := []string{
		"BOOTSTRAP_acme_desktop", "TARGETS_ONLINE_KEY_acme_desktop", "TIMESTAMP_EXPIRATION_acme_desktop",
		"SNAPSHOT_EXPIRATION_acme_desktop", "TARGETS_EXPIRATION_acme_desktop",
	}
	for _, key := range keys {
		for name, test := range map[string]struct {
			fail func(*fakeRedis)
			says string
		}{
			"a value of another type": {func(f *fakeRedis) {
				f.errors[key] = "WRONGTYPE Operation against a key of another kind"
			}, "redis: key " + key},
			"no right to read it": {func(f *fakeRedis) { f.errors[key] = "NOPERM No permissions to access a key" },
				"redis: key " + key},
			"an end of connection": {func(f *fakeRedis) { f.cut = key }, "acme_desktop: EOF"}, // it ends all answers
		} {
			t.Run(name+" "+key, func(t *testing.T) {
				f := installed(nil)
				test.fail(f)
				got, err := settings(t, f)
				require.ErrorContains(t, err, test.says)
				assert.Zero(t, got)
				require.NotErrorIs(t, err, tufupdate.ErrNotBootstrapped)

				f.set(func() { f.cut, f.errors = "", nil })
				_, err = settings(t, f)
				require.NoError(t, err, "the failure may pass")
			})
		}
	}
	t.Run("no server", func(t *testing.T) {
		f := installed(nil)
		f.down = true
		got, err := settings(t, f)
		require.ErrorContains(t, err, "redis: key BOOTSTRAP_acme_desktop: ")
		assert.Zero(t, got)
	})
	t.Run("no server for a delegated role", func(t *testing.T) {
		f := installed(nil)
		got, err := settings(t, f)
		require.NoError(t, err)
		f.set(func() { f.down = true })
		_, err = got.ValidityOf(t.Context(), "team")
		require.ErrorContains(t, err, "redis: key team_EXPIRATION_acme_desktop: ")
	})
}

// failing is a hook that fails a pipeline without an error of any command.
type failing struct{ redis.Hook }

func (failing) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (failing) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (failing) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(context.Context, []redis.Cmder) error { return errors.New("limit of requests") }
}

func TestWhatIsNotAnsweredIsNotEmpty(t *testing.T) {
	client := installed(nil).client(t)
	client.AddHook(failing{})
	got, err := faynosync.Settings(client)(t.Context(), "acme/desktop")
	require.ErrorContains(t, err, "redis: keys of acme_desktop: limit of requests")
	assert.Zero(t, got)
}

func TestARedisThatHangsIsLeftAfterFiveSecondsOrWithTheContext(t *testing.T) {
	for name, test := range map[string]struct{ limit, takes time.Duration }{
		"in time":       {time.Minute, 5 * time.Second},
		"in less of it": {time.Second, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := installed(nil)
				f.hangs = true
				ctx, cancel := context.WithTimeout(t.Context(), test.limit)
				defer cancel()
				start := time.Now()
				_, err := faynosync.Settings(f.client(t))(ctx, "acme/desktop")
				require.ErrorContains(t, err, "redis: key BOOTSTRAP_acme_desktop: ")
				assert.Equal(t, test.takes, time.Since(start))
			})
		})
	}
}

func TestAnAppIsAnOwnerAndAName(t *testing.T) {
	f := installed(nil)
	f.values["BOOTSTRAP__"], f.values["BOOTSTRAP_acme_"] = "done", "done"
	for _, app := range []string{"", "/", "acme", "acme/", "/desktop", "acme/desktop/beta", "acme/desktop/",
		"acme_desktop"} {
		_, err := faynosync.Settings(f.client(t))(t.Context(), app)
		assert.ErrorIs(t, err, tufupdate.ErrInvalidApp, app)
	}
}

// faynoSync does the same: see the package comment.
func TestOwnerAndNameAreJoinedSoThatSomeAppsShareWhatIsDecided(t *testing.T) {
	f := newFakeRedis()
	f.values["BOOTSTRAP_a_b_c"], f.values["TIMESTAMP_EXPIRATION_a_b_c"] = "done", "3"
	for _, app := range []string{"a_b/c", "a/b_c"} {
		got, err := faynosync.Settings(f.client(t))(t.Context(), app)
		require.NoError(t, err)
		assert.Empty(t, got.NotReady, app)
		assert.Equal(t, 3*day, got.Validity["timestamp"], app)
	}
}
