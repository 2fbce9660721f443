package cli

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"time"
)

// dayForm is a duration that begins with days.
var dayForm = regexp.MustCompile(`^([0-9]{1,6})d(.*)$`)

const day = 24 * time.Hour

// parseDuration reads a duration as Go writes it, or with days, of 24 hours, in front: 90m, 30d, 1d12h. It is
// not negative.
func parseDuration(text string) (time.Duration, error) {
	wrong := errors.New("want a duration such as 90m, 24h or 30d")
	var days int64
	if parts := dayForm.FindStringSubmatch(text); parts != nil {
		var err error
		if days, err = strconv.ParseInt(parts[1], 10, 64); err != nil || days > math.MaxInt64/int64(day)/2 {
			return 0, wrong
		}
		text = parts[2]
		if text == "" {
			text = "0"
		}
	}
	rest, err := time.ParseDuration(text)
	if err != nil || rest < 0 || rest > math.MaxInt64/2 {
		return 0, wrong
	}
	return time.Duration(days)*day + rest, nil
}

// parseExpiry reads when a key is to expire: a time, a duration from now on, or never, which is "". It is as
// the admin API wants it.
func parseExpiry(text string, now time.Time) (string, error) {
	if text == "never" {
		return "", nil
	}
	if _, err := time.Parse(time.RFC3339, text); err == nil {
		return text, nil
	}
	lifetime, err := parseDuration(text)
	if err != nil || lifetime == 0 {
		return "", errors.New("--expires: want a time such as 2030-12-31T00:00:00Z, a duration such as 30d or 720h, or never")
	}
	return now.Add(lifetime).UTC().Format(time.RFC3339), nil
}
