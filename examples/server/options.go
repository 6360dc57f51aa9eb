package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/tufonline/tufonline/internal/refserver"
)

// secretEnv is the environment variable with the secret of HMAC tokens. Other users of the machine
// can see flags.
const secretEnv = "TUF_JWT_SECRET"

// options are the values of the flags and the environment.
type options struct {
	help   bool // the usage was printed
	listen string
	store  string
	keys   string
	roots  string
	// trustFirstRoot is given in the place of roots.
	trustFirstRoot bool

	serve    bool
	demo     bool
	tasks    string
	memory   string // see memoryURL
	settings string // folder; empty: none
	work     bool
	renew    renewOptions

	rollTimeout time.Duration

	faynosync string // URL of its Redis
	mirror    bool

	token refserver.TokenConfig

	logLevel slog.Level

	wait waitOptions // no flag
}

// renewOptions configure the renewal of roles.
type renewOptions struct {
	off   bool
	every time.Duration
	look  time.Duration
	rate  float64
}

// parseOptions reads the flags and the environment. It writes the usage, and errors in flags, to
// stderr.
func parseOptions(args []string, getenv func(string) string, stderr io.Writer) (options, error) {
	o := options{wait: patientWait()}
	fs := flag.NewFlagSet("server", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.listen, "listen", "127.0.0.1:9000", "`address` to listen on")
	fs.StringVar(&o.store, "store", "", "`URL` of the store, such as file:///srv/tuf or s3://bucket?prefix=tuf_metadata/")
	fs.StringVar(&o.keys, "keys", "", "`folder` of the online private keys")
	fs.StringVar(&o.roots, "roots", "",
		"`folder` of the roots to trust, <owner>/<app>.json for each app; no other app is served")
	fs.BoolVar(&o.trustFirstRoot, "trust-first-root", false,
		"instead of -roots: trust the first root that is read of an app until the server ends, although "+
			"an attacker who can write to the store may have put it there")
	fs.BoolVar(&o.serve, "serve", false, "serve the store's files to TUF clients, under /tuf_metadata/")
	fs.BoolVar(&o.demo, "demo", false,
		"create a repository in the folder "+demoDir+" unless it exists, and serve it; needs no other flag")
	fs.StringVar(&o.tasks, "tasks", "mem://",
		"`URL` of the task store: mem:// (this process's memory), sqlite:///path/to/file, or postgres://…")
	fs.StringVar(&o.memory, "memory", "",
		"`URL` of what remembers which versions were published, which writers of the store must not be able to write: "+
			"sqlite:///path/to/file, postgres://…, file:///other/folder, s3://other-bucket, or "+noMemory+
			" (default: the database of -tasks, if it is one); server forget -help says how to have an app forgotten, "+
			"and so may an operator, by DELETE /tuf/v1/memory")
	fs.StringVar(&o.settings, "settings", "",
		"`folder` of the settings of apps, <owner>/<app>.json for each app that has any; "+
			"examples/server/settings.schema.json describes them")
	fs.BoolVar(&o.work, "work", true,
		"work tasks and renew roles; -work=false only accepts tasks, for other servers with the same -tasks")
	fs.BoolVar(&o.renew.off, "no-renew", false, "do not renew roles before they expire")
	fs.DurationVar(&o.renew.every, "renew-every", 5*time.Minute, "the `time` from one round over all apps to the next")
	fs.DurationVar(&o.renew.look, "renew-look", 9*time.Hour,
		"the longest `time` from one look at an app to the next, while nothing is due and nothing is wrong; "+
			"a new root or an upload is noticed within that time")
	fs.Float64Var(&o.renew.rate, "renew-rate", 0,
		"how many `requests` a second the renewal makes to the store at most; 0: as many as the store answers")
	fs.DurationVar(&o.rollTimeout, "roll-timeout", 2*time.Minute,
		"the `time` that an update of an app may take; a durable task that takes twice as "+
			"long, or whose worker died, counts as lost and is worked again")
	fs.StringVar(&o.faynosync, "faynosync", "",
		"`URL` of the Redis of a faynoSync installation, such as redis://host:6379/0; it has the settings of apps, "+
			"and -keys is the installation's one folder of all keys")
	fs.BoolVar(&o.mirror, "mirror-tasks", false, "with -faynosync, write tasks to its Redis too")
	fs.StringVar(&o.token.JWKS, "jwks", "",
		"`file or https URL` of the keys of tokens; without it $"+secretEnv+" is their secret")
	fs.StringVar(&o.token.Algorithm, "jwt-alg", "",
		"the `algorithm` of tokens (default HS256 with a secret, RS256 with -jwks)")
	fs.StringVar(&o.token.Issuer, "jwt-issuer", "", "`issuer` that tokens have to name")
	fs.StringVar(&o.token.Audience, "jwt-audience", "", "`audience` that tokens have to name")
	fs.StringVar(&o.token.AdminClaim, "admin-claim", "role=admin",
		"`claim=value` that an admin's token has; empty: every valid token is an admin's")
	fs.StringVar(&o.token.OperatorClaim, "operator-claim", "role=operator",
		"`claim=value` that an operator's token has, who may have apps of all owners forgotten; empty: no token is an "+
			"operator's")
	fs.TextVar(&o.logLevel, "log-level", slog.LevelInfo,
		"the lowest `level` of what is logged: debug (each request), info, warn or error")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return options{help: true}, nil
	} else if err != nil {
		return options{}, err
	}
	if fs.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if o.demo {
		return o, onlyWithDemo(fs)
	}
	switch {
	case !o.work && o.tasks == memTasks:
		return options{}, errors.New("-work=false with tasks in memory: no server would work them")
	case o.mirror && o.faynosync == "":
		return options{}, errors.New("-mirror-tasks without -faynosync: there is no Redis")
	case o.rollTimeout <= 0:
		return options{}, errors.New("-roll-timeout is not positive")
	case o.renew.every <= 0, o.renew.look <= 0, o.renew.rate < 0:
		return options{}, errors.New("-renew-every or -renew-look is not positive, or -renew-rate is negative")
	case o.store == "":
		return options{}, errors.New("-store is missing")
	case o.keys == "":
		return options{}, errors.New("-keys is missing")
	case o.roots == "" && !o.trustFirstRoot:
		return options{}, errors.New("no root to trust: pin the root of each app with -roots, or choose -trust-first-root")
	case o.roots != "" && o.trustFirstRoot:
		return options{}, errors.New("-roots and -trust-first-root cannot be combined")
	}
	if o.token.JWKS == "" {
		o.token.Secret = []byte(getenv(secretEnv))
		if len(o.token.Secret) == 0 {
			return options{}, fmt.Errorf("tokens need $%s or -jwks to be verified with", secretEnv)
		}
	}
	return o, nil
}

// onlyWithDemo returns an error for a flag that cannot be combined with -demo.
func onlyWithDemo(fs *flag.FlagSet) (err error) {
	fs.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "demo", "listen", "store", "serve", "tasks", "log-level":
		default:
			err = fmt.Errorf("-%s cannot be combined with -demo", f.Name)
		}
	})
	return err
}
