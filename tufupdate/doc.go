// Package tufupdate signs and publishes new versions of the online roles of TUF repositories:
// timestamp, snapshot, and targets and delegated roles where their keys are online.
//
//	updater, err := tufupdate.New(tufupdate.Config{
//		Store: store, Keys: provider, Roots: tufupdate.PinnedRoot(root),
//	})
//	...
//	go updater.Run(ctx)
//	task, err := updater.ForceOnline(ctx, "acme/desktop", nil)
//	task, err = updater.Wait(ctx, task.ID)
//
// An app is a path of plain segments; its files lie below it in the store, named as the
// specification says (acme/desktop/1.root.json, acme/desktop/timestamp.json). Any TUF tool may have
// made them, and go on working on them.
//
// # What always holds
//
//   - Nothing is signed that was not verified, from the pinned root down. Expired metadata can be
//     renewed; tampered metadata cannot.
//   - A version number that was used once for a role never gets other bytes. What a crash leaves
//     behind is passed over.
//   - All that a timestamp leads to is durable in the store before that timestamp is. A roll that
//     fails before has changed nothing for clients.
//   - Versions grow, and what a snapshot once listed stays listed.
//   - Only version, expires, the listed files and the signatures of a document change. Every other
//     byte stays, known or not.
//   - All the roles that were asked for are published, or there is an error.
//   - No lock is needed: any number of processes may work on one store, provided that its writes
//     are atomic (see storage.Probe).
//
// Without consistent snapshots three files change one after the other, so a client in between sees
// a mismatch, as the specification admits (6.2.1).
//
// # What it does not do
//
// It never signs root and never decides what a repository's targets are. Documents that the holders
// of offline keys have signed and put into the store as the next version of their role
// (N+1.targets.json) are verified and enter the next snapshot. One that does not verify, or
// delegates to a role that is not there yet, is a warning, never an obstacle: a renewal that stops
// is the worst failure of all.
//
// An Updater remembers the newest timestamp and snapshot of each app and refuses older ones. A
// process that has just started cannot tell an old timestamp from the newest: what the store holds
// is all that it knows.
//
// It also remembers the files of apps that it has rolled, up to Config.CacheSize, and signs what
// follows them without reading them again. That nobody else has written since it confirms before
// what it signed counts; if somebody has, it begins again with what the store holds. So a file that
// was damaged since is replaced with its next version rather than noticed. Status reads everything.
package tufupdate
