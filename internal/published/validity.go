package published

import "time"

// SignedFor returns for how long a document was to be valid when it was signed here, 0 if memory
// does not know that.
func (r *Repository) SignedFor(d *Document) time.Duration {
	if d == nil {
		return 0
	}
	return r.judge.in.Marks.ValidityOf(d.verified)
}
