package tufupdate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tufupdate"
)

// What an operator has decided for an app goes before what the repository says.
func ExampleConfig_settings() {
	_, err := tufupdate.New(tufupdate.Config{
		Store: storage.NewMemory(storage.MemoryOptions{}),
		Keys:  keys.NewMemory(),
		Roots: tufupdate.TrustFirstRoot,
		Settings: func(_ context.Context, app string) (tufupdate.Settings, error) {
			if app == "acme/new" {
				return tufupdate.Settings{NotReady: "bootstrap is under way"}, nil
			}
			return tufupdate.Settings{
				Targets:  tufupdate.TargetsOffline,
				Validity: map[string]time.Duration{"timestamp": 6 * time.Hour},
			}, nil
		},
	})
	fmt.Println(err)
	// Output: <nil>
}

// A refusal says which it is.
func ExampleUpdater_ForceOnline() {
	updater, err := tufupdate.New(tufupdate.Config{
		Store:  storage.NewMemory(storage.MemoryOptions{}),
		Keys:   keys.NewMemory(),
		Roots:  tufupdate.TrustFirstRoot,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = updater.ForceOnline(context.Background(), "acme/desktop", []string{"root"})
	fmt.Println(errors.Is(err, tufupdate.ErrRootRole))
	_, err = updater.ForceOnline(context.Background(), "acme/desktop", nil)
	fmt.Println(errors.Is(err, tufupdate.ErrNotBootstrapped))
	// Output:
	// true
	// true
}
