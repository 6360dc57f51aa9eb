// Package tufonline is the root of a module that keeps the online roles of TUF repositories freshly
// signed and published: timestamp, snapshot, and targets or delegated roles where their keys are
// online. It works on repositories that any TUF tool made, next to that tool.
//
// Start with [github.com/tufonline/tufonline/tufupdate]: its Updater does the work, over three
// seams that have packages of their own:
//
//   - [github.com/tufonline/tufonline/storage]: where the files lie. In memory, a directory,
//     Amazon S3, any gocloud bucket.
//   - [github.com/tufonline/tufonline/keys]: who signs. In memory, a folder of key files, any
//     crypto.Signer, sigstore's signers.
//   - [github.com/tufonline/tufonline/tasks]: accepted work and what became of it. In memory,
//     SQLite, Postgres.
//
// Package compat/faynosync fits it to the installations of another system.
//
// The programs under examples show it: embed is the library in one screen, server offers it over
// HTTP, initrepo makes a repository for an app that has none.
package tufonline
