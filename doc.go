// Package tufonline is the root of a module that keeps the online roles of TUF repositories signed:
// timestamp, snapshot, and targets or delegated roles whose keys are online. It works on
// repositories that any TUF tool made, next to that tool.
//
// Package [github.com/tufonline/tufonline/tufupdate] is the place to start. Its Updater does the
// work, over three seams. Each seam is a package:
//
//   - [github.com/tufonline/tufonline/storage] holds the files: in memory, in a directory, in
//     Amazon S3, in any gocloud bucket.
//   - [github.com/tufonline/tufonline/keys] signs: with keys in memory, with a folder of key files,
//     with any crypto.Signer, with sigstore's signers.
//   - [github.com/tufonline/tufonline/tasks] keeps accepted work and its results: in memory, in
//     SQLite, in Postgres.
//
// Package compat/faynosync fits the library to faynoSync installations.
//
// The programs under examples show the library. Embed is the library in one screen, server offers
// it over HTTP, and initrepo makes a repository for an app that has none.
package tufonline
