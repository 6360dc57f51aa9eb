// Command initrepo makes a TUF repository for an app that has none: keys, root, and empty targets,
// in any store.
//
//	initrepo -app acme/desktop -store file:///srv/tuf \
//	  -root-keys /media/usb/acme -keys /etc/tuf/keys -roots /etc/tuf/roots
//
// Take the root keys offline. The online keys are where the server, and package keys' Dir, read
// them. Initrepo overwrites nothing.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tufonline/tufonline/internal/newrepo"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/filestore"
	"github.com/tufonline/tufonline/storage/s3store"
	"github.com/tufonline/tufonline/tufupdate"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "initrepo:", err)
		os.Exit(1)
	}
}

// options holds the values of the flags.
type options struct {
	newrepo.Config
	store string
	roots string
	days  map[string]*int
}

func parseOptions(args []string, stderr io.Writer) (*options, error) {
	o := &options{days: map[string]*int{}}
	flags := flag.NewFlagSet("initrepo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.App, "app", "", "the app, as `owner/name`")
	flags.StringVar(&o.store, "store", "", "`URL` of the store: file:///folder, s3://bucket?region=…")
	flags.StringVar(&o.RootKeyDir, "root-keys", "", "`folder` for the root keys, to be taken offline")
	flags.StringVar(&o.KeyDir, "keys", "", "`folder` for the online keys, the server's -keys")
	flags.StringVar(&o.roots, "roots", "",
		"`folder` for the first root, the server's -roots (default: the root is only in the store)")
	flags.IntVar(&o.RootKeys, "root-count", 1, "how many root `keys` to make")
	flags.IntVar(&o.RootThreshold, "threshold", 1, "how many root `keys` have to sign a root")
	flags.StringVar(&o.KeyType, "key-type", newrepo.Ed25519, "`type` of all keys: ed25519, ecdsa or rsa")
	flags.BoolVar(&o.TargetsOffline, "targets-offline", false, "put the targets key beside the root keys")
	for role, days := range map[string]int{"root": 365, "targets": 90, "snapshot": 7, "timestamp": 1} {
		o.days[role] = flags.Int(role+"-days", days, "validity of the first "+role+" in `days`")
	}
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.App == "" || o.store == "" || o.RootKeyDir == "" || o.KeyDir == "" {
		return nil, errors.New("-app, -store, -root-keys and -keys are needed")
	}
	if err := tufupdate.CheckApp(o.App); err != nil {
		return nil, err
	}
	o.Validity = map[string]time.Duration{}
	for role, days := range o.days {
		const most = 36500
		if *days < 1 || *days > most {
			return nil, fmt.Errorf("-%s-days %d is not between 1 and %d", role, *days, most)
		}
		o.Validity[role] = time.Duration(*days) * 24 * time.Hour
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	pin := ""
	if o.roots != "" {
		pin = filepath.Join(o.roots, filepath.FromSlash(o.App)+".json")
		if _, err := os.Lstat(pin); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fmt.Errorf("%s: %w", pin, newrepo.ErrExists), err)
		}
	}
	o.Store, err = storage.Open(ctx, o.store, filestore.Driver(), s3store.Driver())
	if err != nil {
		return err
	}
	if c, ok := o.Store.(io.Closer); ok {
		defer func() { err = errors.Join(err, c.Close()) }()
	}
	root, err := newrepo.Create(ctx, o.Config)
	if err != nil {
		return err
	}
	if pin != "" {
		if err := writePin(pin, root); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(stdout, `The repository of %[1]s is in %[2]s.

Root keys:   %[3]s (take them offline now, and keep copies)
Online keys: %[4]s
First root:  %[5]s (pin it in the server and ship it in clients)
`, o.App, o.store, o.RootKeyDir, filepath.Join(o.KeyDir, filepath.FromSlash(o.App)),
		cmp.Or(pin, o.App+"/1.root.json in the store"))
	return err
}

// writePin writes the first root to the file from which the server pins it.
func writePin(name string, root []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(root)
	return errors.Join(err, f.Sync(), f.Close())
}
