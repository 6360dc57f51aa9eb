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
// A delegated role's is read when it is signed. Absent days leave it to the repository. Errors name
// the key: Redis could not be asked, which may pass, or the key holds something else than it
// should. tufupdate.ErrInvalidApp for an app that is not owner/app.
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

// read returns the values of keys; nil for one that is absent.
func (r reader) read(ctx context.Context, names ...string) ([]*string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var commands []*redis.StringCmd
	_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error { // MGET takes a key of another type for an absent one
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
	if err != nil && !errors.Is(err, redis.Nil) { // not told by any command, so none can be believed
		return nil, fmt.Errorf("redis: keys of %s: %w", r.suffix, err)
	}
	return values, nil
}

// days reads a number of days, 0 if it is absent.
func (r reader) days(name string, value *string) (time.Duration, error) {
	const most = 36525 // a hundred years; more would overflow in three
	if value == nil {
		return 0, nil
	}
	n, err := strconv.Atoi(*value)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("redis: key %s%s: %q is not a whole number of days from 1 to %d", name, r.suffix, *value, most)
	}
	return time.Duration(n) * 24 * time.Hour, nil
}

// notReady says why an app cannot be signed for, "" if it can.
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
