package access

import (
	"fmt"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

// This file is what must be so, whatever happens between nodes and database: it knows changes and times, and nothing of
// views, caches and epochs.

// A walkCredential is what a client has: a secret, or an access token.
type walkCredential struct {
	name       string // for messages
	deployment string // of the key; of a user the one that is asked for
	key, user  string // one of them

	secret   string // or
	raw, jti string

	began, made time.Time // when the change that made it began, or the token was asked for; and when it was there
	seq         uint64    // of a secret, the change that has made it
}

// An ending is a change after which a credential is not good any more.
type ending struct {
	walkChange
	from time.Time // not before; zero is at once
}

// endings are those of a credential, of changes that were made so far. One that was made while a token was being issued
// may have ended it, and is in maybe.
func (c *walkCredential) endings(changes []walkChange) (sure, maybe []ending) {
	rotations, exists := 0, c.user != ""
	for i, change := range changes {
		if exists = exists || change.Kind == keystore.KeyCreated && change.Key == c.key; !exists {
			continue
		}
		end := ending{walkChange: change}
		switch change.Kind {
		case keystore.DeploymentDeleted:
			if change.Deployment != c.deployment || c.user != "" && c.joins(changes[i+1:]) {
				continue
			}
		case keystore.MemberDeleted:
			if c.user == "" || change.User != c.user || change.Deployment != c.deployment || c.joins(changes[i+1:]) {
				continue
			}
		case keystore.KeyDeleted:
			if change.Key != c.key || c.key == "" {
				continue
			}
		case keystore.KeyRotated:
			if change.Key != c.key || c.key == "" {
				continue
			}
			if c.secret == "" {
				if change.Set["revoke_tokens"] == "" {
					continue
				}
				break
			}
			if change.seq <= c.seq {
				continue
			}
			overlap, _ := time.ParseDuration(change.Set["overlap"])
			if rotations++; rotations == 1 && overlap > 0 {
				end.from = change.Time.Add(overlap + time.Second)
			}
		case keystore.KeyTokensRevoked:
			if c.secret != "" || c.key == "" || change.Key != c.key {
				continue
			}
		case keystore.DeploymentTokensRevoked:
			if c.secret != "" || change.Deployment != c.deployment || c.user != "" && made(changes[i+1:], keystore.DeploymentCreated, c.deployment) {
				continue
			}
		case keystore.TokensRevoked:
			if c.secret != "" {
				continue
			}
		case keystore.TokenRevoked:
			if c.jti == "" || change.Token != c.jti {
				continue
			}
		default:
			continue
		}
		bulk := change.Kind == keystore.KeyTokensRevoked || change.Kind == keystore.DeploymentTokensRevoked ||
			change.Kind == keystore.TokensRevoked || change.Kind == keystore.KeyRotated && c.secret == ""
		if bulk && !change.at.After(c.made) {
			maybe = append(maybe, end)
			continue
		}
		sure = append(sure, end)
	}
	return sure, maybe
}

// joins reports whether the user becomes a member again.
func (c *walkCredential) joins(changes []walkChange) bool {
	for _, change := range changes {
		if change.Kind == keystore.MemberPut && change.Deployment == c.deployment && change.User == c.user {
			return true
		}
	}
	return false
}

func made(changes []walkChange, kind keystore.EventKind, deployment string) bool {
	for _, change := range changes {
		if change.Kind == kind && change.Deployment == deployment {
			return true
		}
	}
	return false
}

// A question is what a node was asked about a credential, and what it answered.
type question struct {
	node       *walkNode
	credential *walkCredential
	at         time.Time       // when it was asked
	heard      uint64          // up to which change the node had heard of the log then
	own        map[string]bool // the changes that it had answered as made then, by their names
	answer     answerKind
	reason     string // of a refusal, for messages
}

type answerKind int

const (
	accepted answerKind = iota
	refused
	unknown // 503
)

// settle is how long a token may have been issued by what a node knew before, beside maxStaleness: a read takes as long
// as that at most.
const settle = 2 * time.Second

// wrong says what is wrong with an answer, by the changes that were made until it came; "" is nothing.
func (q *question) wrong(changes []walkChange, maxStaleness time.Duration) string {
	c := q.credential
	sure, maybe := c.endings(changes)
	switch q.answer {
	case accepted:
		for _, end := range sure {
			why := ""
			switch {
			case q.at.Before(end.from):
				continue
			case q.own[end.By]:
				why = "this node had answered that it is made"
			case end.seq <= q.heard:
				why = "this node had heard of it"
			case q.at.Sub(end.at) > maxStaleness:
				why = fmt.Sprintf("that is longer than max_staleness %s", maxStaleness)
			default:
				continue
			}
			return fmt.Sprintf("%s accepts %s %s after %s: %s", q.node.name, c.name, q.at.Sub(end.at), end.Kind, why)
		}
		if c.user != "" && !c.joins(changes) {
			return fmt.Sprintf("%s accepts %s, who never was a member of %s", q.node.name, c.name, c.deployment)
		}
	case refused:
		if len(sure) > 0 || c.user != "" {
			return "" // what a user may do, and when, is held when all is quiet
		}
		for _, end := range maybe {
			if c.began.Sub(end.at) <= maxStaleness+settle {
				return "" // issued by what was known before
			}
		}
		for _, change := range changes {
			// What is new the node may not know yet: a secret of a key, or a Deployment where there was none.
			news := change.Kind == keystore.KeyRotated && change.seq == c.seq ||
				change.Kind == keystore.DeploymentCreated && change.Deployment == c.deployment
			if news && q.at.Sub(change.at) <= maxStaleness {
				return ""
			}
		}
		return fmt.Sprintf("%s refuses %s, which nothing has ended: %s", q.node.name, c.name, q.reason)
	}
	return ""
}

// wrongAtRest is wrong when all nodes have heard of everything: then a node has to know.
func (q *question) wrongAtRest(changes []walkChange, maxStaleness time.Duration) string {
	if wrong := q.wrong(changes, maxStaleness); wrong != "" {
		return wrong
	}
	c := q.credential
	sure, maybe := c.endings(changes)
	ended, unsure := c.user != "" && !c.joins(changes), false
	for _, end := range sure {
		if q.at.Before(end.from) {
			unsure = true
		} else {
			ended = true
		}
	}
	for _, end := range maybe {
		// A user's token is held against a time, with a leeway.
		if c.began.Sub(end.at) <= maxStaleness+settle || c.user != "" && c.began.Sub(end.at) <= token.DefaultLeeway+settle {
			unsure = true
		}
	}
	switch {
	case q.answer == unknown:
		return fmt.Sprintf("%s cannot say what %s is good for, although nothing is in its way: %s", q.node.name, c.name, q.reason)
	case ended && q.answer == accepted:
		return fmt.Sprintf("at rest %s accepts %s, which has ended", q.node.name, c.name)
	case !ended && !unsure && q.answer == refused:
		return fmt.Sprintf("at rest %s refuses %s, which nothing has ended: %s", q.node.name, c.name, q.reason)
	}
	return ""
}
