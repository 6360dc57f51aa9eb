package faynosync

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tufonline/tufonline/tufupdate"
)

// Settings returns a function for tufupdate.Config.Settings. It reads an app's keys in one round
// trip:
//
//	BOOTSTRAP_<owner>_<app>            absent or empty: not bootstrapped; pre-…, signing-…: not yet; all else: ready
//	TARGETS_ONLINE_KEY_<owner>_<app>   true, True, 1, or absent: targets is online; all else: offline
//	<ROLE>_EXPIRATION_<owner>_<app>    days of validity: TIMESTAMP, SNAPSHOT, TARGETS,
//	                                   and delegated roles by their own names
//
// The days of a delegated role are read when the role is signed. If days are absent, the repository
// decides.
//
// Errors name the key. Either Redis did not answer, which may pass, or the value makes no sense.
// For an app that is not owner/app the error is tufupdate.ErrInvalidApp.
func Settings(client redis.Cmdable) func(ctx context.Context, app string) (tufupdate.Settings, error) {
	return func(ctx context.Context, app string) (tufupdate.Settings, error) {
		suffix, err := suffix(app)
		if err != nil {
			return tufupdate.Settings{}, err
		}
		r := reader{client, suffix}
		roles := []string{"timestamp", "snapshot", "targets"}
		names := []string{"BOOTSTRAP_", "TARGETS_ONLINE_KEY_"}
		for _, role := range roles {
			names = append(names, strings.ToUpper(role)+"_EXPIRATION_")
		}
		values, err := r.read(ctx, names...)
		if err != nil {
			return tufupdate.Settings{}, err
		}
		s := tufupdate.Settings{NotReady: notReady(values[0]), Targets: targetsMode(values[1]),
			Validity: map[string]time.Duration{}}
		for i, role := range roles {
			if s.Validity[role], err = r.days(names[2+i], values[2+i]); err != nil {
				return tufupdate.Settings{}, err
			}
		}
		s.ValidityOf = func(ctx context.Context, role string) (time.Duration, error) {
			name := role + "_EXPIRATION_"
			values, err := r.read(ctx, name)
			if err != nil {
				return 0, err
			}
			return r.days(name, values[0])
		}
		return s, nil
	}
}

// A reader reads the keys of one app.
type reader struct {
	client redis.Cmdable
	suffix string
}

// read returns the values of keys. The value of an absent key is nil.
func (r reader) read(ctx context.Context, names ...string) ([]*string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var commands []*redis.StringCmd
	_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error { // to MGET a key of another type is absent
		for _, name := range names {
			commands = append(commands, p.Get(ctx, name+r.suffix))
		}
		return nil
	})
	values := make([]*string, len(commands))
	for i, command := range commands {
		value, err := command.Result()
		switch {
		case err == nil:
			values[i] = &value
		case !errors.Is(err, redis.Nil):
			return nil, fmt.Errorf("redis: key %s%s: %w", names[i], r.suffix, err)
		}
	}
	if err != nil && !errors.Is(err, redis.Nil) { // the error belongs to no command, so no value counts
		return nil, fmt.Errorf("redis: keys of %s: %w", r.suffix, err)
	}
	return values, nil
}

// days parses a number of days. It returns 0 if the value is absent.
func (r reader) days(name string, value *string) (time.Duration, error) {
	const most = 36525 // a hundred years; three hundred overflow a Duration
	if value == nil {
		return 0, nil
	}
	n, err := strconv.Atoi(*value)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("redis: key %s%s: %q is not a whole number of days from 1 to %d", name, r.suffix, *value, most)
	}
	return time.Duration(n) * 24 * time.Hour, nil
}

// notReady returns why an app cannot be signed for. It returns "" if it can.
func notReady(bootstrap *string) string {
	switch {
	case bootstrap == nil || *bootstrap == "":
		return "it has not been bootstrapped"
	case strings.HasPrefix(*bootstrap, "pre-"):
		return "its bootstrap is under way"
	case strings.HasPrefix(*bootstrap, "signing-"):
		return "the signing of its root is under way"
	}
	return ""
}

func targetsMode(online *string) tufupdate.TargetsMode {
	if online == nil {
		return tufupdate.TargetsOnline
	}
	switch *online {
	case "true", "True", "1":
		return tufupdate.TargetsOnline
	}
	return tufupdate.TargetsOffline
}
