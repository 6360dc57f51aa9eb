package tufmeta

import (
	"cmp"
	"time"
)

// Repositories that tuf-on-ci made declare two periods of a role, in the role's object in root or
// in the signed object of its documents. They count days or hours, and hours win. The fields are
// another project's extension: a value that makes no sense counts as none.
const (
	expiryDays   = "x-tuf-on-ci-expiry-period"
	expiryHours  = "x-tuf-on-ci-expiry-period-hours"
	signingDays  = "x-tuf-on-ci-signing-period"
	signingHours = "x-tuf-on-ci-signing-period-hours"
)

// maxPeriod keeps a period within time.Duration. A hundred years are enough.
const maxPeriod = 36525 * 24 * time.Hour

// period returns the period that the values of two fields declare, 0 if they declare none.
func period(days, hours value) time.Duration {
	return cmp.Or(units(hours, time.Hour), units(days, 24*time.Hour))
}

func units(number value, unit time.Duration) time.Duration {
	n, err := number.integer()
	if err != nil || n < 1 || n > int64(maxPeriod/unit) {
		return 0
	}
	return time.Duration(n) * unit
}

// ExpiryPeriod returns how long documents of this role are to be valid, by the signed object's
// field x-tuf-on-ci-expiry-period in days, or x-tuf-on-ci-expiry-period-hours. It returns 0 if
// there is none.
func (d *Document) ExpiryPeriod() time.Duration {
	return period(d.field(expiryDays), d.field(expiryHours))
}

// SigningPeriod returns how long before the document expires its successor is to be signed, by the
// signed object's field x-tuf-on-ci-signing-period in days, or x-tuf-on-ci-signing-period-hours.
// It returns 0 if there is none.
func (d *Document) SigningPeriod() time.Duration {
	return period(d.field(signingDays), d.field(signingHours))
}
