package tufupdate

import "context"

// Forget forgets which versions of an app's roles were published: in Config.Memory, and in this
// process with the app's cached files. It returns those versions by role, root among them: nil if
// nothing was remembered, and none if what was remembered could not be read.
//
// Forget is for an operator who has put an earlier state of a repository back on purpose. Rolls
// refuse that state otherwise. Forgetting gives up that protection once: the next roll signs over
// the newest state that the store holds then, as after a first look. An attacker who can write to
// the store decides which state that is, among those that the present keys have signed.
//
// Updaters that share Config.Memory read it before each roll, so they hold nothing back. No roll of
// the app should be under way: it would remember what it publishes.
func (u *Updater) Forget(ctx context.Context, app string) (map[string]int64, error) {
	if err := CheckApp(app); err != nil {
		return nil, err
	}
	marks, err := u.record.Forget(ctx, app)
	if err != nil {
		return nil, errorf(app, "forgetting", err)
	}
	u.memory.Forget(app)
	versions := marks.Versions()
	u.log.WarnContext(ctx, "forgotten what was published", "app", app, "versions", versions)
	return versions, nil
}
