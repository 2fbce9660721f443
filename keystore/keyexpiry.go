package keystore

import (
	"errors"
	"regexp"
	"time"
)

// ErrExpired says that a key's time is over. Who gets it has shown the key's secret. The message says
// since when.
var ErrExpired = errors.New("expired")

// Expired reports whether the key has ended at a moment. It may live again: its ExpiresAt can be
// moved. So the time may be remembered, and never the answer.
func (key *Key) Expired(at time.Time) bool {
	return !key.ExpiresAt.IsZero() && !at.Before(key.ExpiresAt)
}

// ExpiryError is an [ErrExpired] that says since when a key is expired.
func (key *Key) ExpiryError() error {
	return &detailError{ErrExpired, "the key expired at " + key.ExpiresAt.UTC().Format(time.RFC3339)}
}

// ParseExpiry reads the time at which a key expires (RFC 3339). It is in UTC and in whole seconds; a
// part of a second is cut off. The error wraps [ErrInvalid].
func ParseExpiry(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || !expiryForm.MatchString(text) {
		return time.Time{}, invalid("expires_at: want a time such as 2030-12-31T00:00:00Z (RFC 3339)")
	}
	return wholeSecond(at), validateExpiry(at)
}

// expiryForm is RFC 3339 as it is written. Package time also reads some of what is not.
var expiryForm = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$`)

// wholeSecond is the form in which records keep a time.
func wholeSecond(at time.Time) time.Time {
	if at.IsZero() {
		return time.Time{}
	}
	return at.UTC().Truncate(time.Second)
}

// expiryText is an expiry as people read it; "" is never.
func expiryText(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}

// latestExpiry is the last second that RFC 3339 can write.
var latestExpiry = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// validateExpiry keeps an expiry to the times that RFC 3339 and JWT can write. The year 1 would even
// read as none.
func validateExpiry(at time.Time) error {
	if at.Unix() <= 0 || at.Unix() > latestExpiry.Unix() {
		return invalid("expires_at: want a time of the years 1970 to 9999")
	}
	return nil
}
