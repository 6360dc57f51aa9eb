// Package tufupdate keeps the online roles of TUF repositories signed.
//
//	updater, err := tufupdate.New(tufupdate.Config{
//		Store: store, Keys: provider, Roots: tufupdate.PinnedRoot(root),
//	})
//	go updater.Run(ctx)
//	task, err := updater.ForceOnline(ctx, "acme/desktop", nil)
//
// What always holds:
//
//   - Nothing is signed that does not verify from the pinned root down.
//   - A version number that a role has used never gets other bytes.
//   - Versions grow, and an entry of a snapshot stays.
//   - Only version, expires, listed files and signatures of a document change.
//   - A timestamp is published after every file that it leads to is durable.
//   - A roll publishes every role that the caller asked for, or fails.
//   - Any number of processes may share a store that writes atomically.
//
// See docs/glossary.md for the words, docs/threat-model.md for the limits.
package tufupdate
