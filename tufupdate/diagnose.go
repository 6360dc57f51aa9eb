package tufupdate

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/keys"
)

// diagnose finds out whether clients can go on with a role, and who has to act if not. What is no
// trouble yet is a warning.
func (s *survey) diagnose(r surveyed, row RoleStatus, u usability) {
	left := row.Expires.Sub(s.now)
	expired := r.document != nil && left <= 0
	signs := row.Online && row.Role != tufmeta.Root // whatever keys there are
	ours, due := s.isOurs(r, row), !row.Due.IsZero() && !row.Due.After(s.now)
	at := row.Expires.Format(time.RFC3339)
	switch {
	case r.problem != nil && !r.renewed:
		s.trouble(r, CodeVerification, ActorOperator, row.Problem)
	case expired && row.Role == tufmeta.Root:
		s.trouble(r, CodeRootExpired, ActorHolders, fmt.Sprintf("root version %d expired at %s: clients accept nothing "+
			"until its key holders sign another root", row.Version, at))
	case signs && r.renewed:
		s.trouble(r, CodeVerification, ActorUpdater, fmt.Sprintf("role %s: %s: clients reject it until the next release",
			r.name(), row.Problem))
	case signs && expired:
		s.trouble(r, CodeExpired, ActorUpdater, fmt.Sprintf("role %s: version %d expired at %s: the next release "+
			"replaces it", r.name(), row.Version, at))
	case signs && due && s.overdue(row.Due):
		s.trouble(r, CodeOverdue, ActorUpdater, fmt.Sprintf("role %s: version %d was to be replaced at %s, and expires at %s",
			r.name(), row.Version, row.Due.Format(time.RFC3339), at))
	case signs:
	case ours && r.renewed:
		s.keyTrouble(r, u, "clients reject the published version")
	case ours && expired:
		s.keyTrouble(r, u, fmt.Sprintf("version %d expired at %s", row.Version, at))
	case ours && due:
		s.keyTrouble(r, u, fmt.Sprintf("version %d expires at %s", row.Version, at))
	case u.err != nil && row.Role != tufmeta.Root:
		s.keyTrouble(r, u, "its keys are expected here")
	case expired:
		s.trouble(r, CodeExpired, ActorHolders, fmt.Sprintf("role %s: version %d expired at %s: its key holders have to "+
			"sign and upload version %d", r.name(), row.Version, at, row.Version+1))
	case ours:
		s.warn("keys of "+r.name(), u.holding.Err.Error())
	case u.holding.State == custody.Offline && len(u.holding.Signers) > 0:
		s.warn("keys of "+r.name(), u.holding.Err.Error())
		fallthrough
	default:
		if r.document != nil && left <= s.warnBefore {
			s.warn("expiry of "+r.name(), fmt.Sprintf("role %s: version %d expires at %s, and its keys are offline: "+
				"their holders have to sign it anew", row.Role, row.Version, at))
		}
	}
	if r.document != nil && r.isTooLong(s.now) {
		s.trouble(r, CodeClock, ActorOperator, fmt.Sprintf("role %s: version %d expires at %s, later than the %v for "+
			"which it was signed: the clock of this machine is wrong, or the signer's was", row.Role, row.Version, at,
			r.validity))
	}
	if signs && u.err != nil {
		s.warn("keys of "+r.name(), fmt.Sprintf("role %s: key %s cannot be used, and is not needed", r.name(),
			strings.Join(u.missing(), ", ")))
	}
}

// clockJitter is by how much clocks that are right may differ.
const clockJitter = time.Minute

// trouble adds a trouble of a role, once for all bins of a delegation.
func (s *survey) trouble(r surveyed, code string, who Actor, text string) *Trouble {
	return s.troubleOf(r.name(), code, who, text)
}

// troubleOf adds a trouble of a role, or of the app as a whole.
func (s *survey) troubleOf(role, code string, who Actor, text string) *Trouble {
	t := Trouble{Role: role, Code: code, Who: who, Text: text}
	place, known := s.troubles[t.key()]
	if !known {
		place = len(s.status.Troubles)
		s.troubles[t.key()] = place
		s.status.Troubles = append(s.status.Troubles, t)
	}
	return &s.status.Troubles[place]
}

// keyTrouble says that a role cannot be signed for lack of keys, and which these are.
func (s *survey) keyTrouble(r surveyed, u usability, why string) {
	var missing []MissingKey
	ids := u.missing()
	code, cure := CodeNoKey, "install it where this process has the keys of the app"
	for _, m := range u.holding.Missing {
		missing = append(missing, MissingKey{m.KeyID, m.Err.Error()})
		if !errors.Is(m.Err, keys.ErrNoKey) {
			code, cure = CodeKeyUnusable, "it cannot be used: see what the key provider says"
		}
	}
	of := fmt.Sprintf("%d of its %d keys have to sign", r.role.Threshold, len(r.role.Keys))
	if len(ids) == 0 { // the keys are there, and must not sign, or what declares the role makes no sense
		code, of, cure = CodeNoKey, u.reason(), "see docs/trust.md"
	}
	text := fmt.Sprintf("role %s cannot be signed, and %s: %s", r.name(), why, of)
	if len(ids) > 0 {
		text += ", without key " + strings.Join(ids, ", ")
	}
	s.trouble(r, code, ActorOperator, text+": "+cure).Keys = missing
}

// missing returns the IDs of the keys that cannot sign.
func (u usability) missing() (ids []string) {
	for _, m := range u.holding.Missing {
		ids = append(ids, m.KeyID)
	}
	return ids
}

// reason says why a role is not online.
func (u usability) reason() string {
	if err := u.holding.Err; err != nil {
		return err.Error()
	}
	return u.err.Error()
}
