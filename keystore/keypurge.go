package keystore

import (
	"context"
	"time"
)

// This file removes API keys that have been expired for a while, where that is wanted.

// expiringIndex has the IDs of those keys of a Deployment that have an expiry.
func expiringIndex(deploymentID string) string { return "expiring/" + deploymentID }

// expiring keeps the index to the key.
func (key *Key) expiring() Step {
	step := Step{Kind: AddMember, Name: expiringIndex(key.DeploymentID), Member: key.ID}
	if key.ExpiresAt.IsZero() {
		step.Kind = RemoveMember
	}
	return step
}

// dropExpiring removes the index of a Deployment. No record has the names that the step removes.
func dropExpiring(deploymentID string) Step {
	return Step{Kind: DropIndex, Name: expiringIndex(deploymentID), Prefix: expiringIndex(deploymentID) + "/"}
}

// mostPurgedKeys bounds what one PurgeExpiredKeys deletes, about: each key is a change of its own.
const mostPurgedKeys = 200

// PurgeExpiredKeys deletes keys that expired longer than that ago, of the Deployments after one, in the
// order of their IDs; "" is the beginning. It does a part of the work: next is the Deployment after which
// to go on, "" when it has come to the end. A key whose record was altered is left for people to look at.
// It takes as long as ctx lets it.
func (k *Keystore) PurgeExpiredKeys(ctx context.Context, longerThan time.Duration, from string) (removed int, next string, err error) {
	v, err := k.open(ctx)
	if err != nil {
		return 0, from, err
	}
	now, err := k.earlierTime(ctx)
	if err != nil {
		return 0, from, err
	}
	deployments, err := k.store.Members(ctx, deploymentsIndex, from, MaxPage)
	if err != nil || len(deployments) == 0 {
		return 0, "", err
	}
	indexes := make([]string, len(deployments))
	for i, id := range deployments {
		indexes[i] = expiringIndex(id)
	}
	sizes, err := k.store.Sizes(ctx, indexes...)
	if err != nil {
		return 0, from, err
	}
	for i, id := range deployments {
		if sizes[i] > 0 {
			n, err := k.purgeKeysOf(ctx, v, id, now.Add(-longerThan))
			removed += n
			if err != nil || removed >= mostPurgedKeys {
				return removed, from, err // there may be more of this Deployment
			}
		}
		from = id
	}
	if len(deployments) < MaxPage {
		return removed, "", nil
	}
	return removed, from, nil
}

// purgeKeysOf deletes keys of a Deployment that expired before a moment, mostPurgedKeys at most.
func (k *Keystore) purgeKeysOf(ctx context.Context, v *vault, deploymentID string, before time.Time) (removed int, err error) {
	for after := ""; ; {
		ids, err := k.store.Members(ctx, expiringIndex(deploymentID), after, MaxPage)
		if err != nil || len(ids) == 0 {
			return removed, err
		}
		names := make([]string, len(ids))
		for i, id := range ids {
			names[i] = keyRecord(id)
		}
		records, err := k.store.Get(ctx, names...)
		if err != nil {
			return removed, err
		}
		for i, record := range records {
			if record == nil {
				continue // deleted since
			}
			key, err := decodeRecord[Key](v, names[i], record)
			// An index has no authentication code: the record says whose key it is.
			if err != nil || key.DeploymentID != deploymentID || !key.Expired(before) {
				continue
			}
			event := Event{Kind: KeyDeleted, Deployment: deploymentID, Key: key.ID}
			event.set("expires_at", expiryText(key.ExpiresAt))
			err = k.apply(ctx, v, Change{
				Conditions: []Condition{{Kind: RecordEquals, Name: names[i], Value: record}},
				Steps:      deleteKey(deploymentID, key.ID),
			}, gatewayCaller, event)
			switch {
			case failedCondition(err) >= 0: // changed or deleted since
			case err != nil:
				return removed, err
			default:
				if removed++; removed == mostPurgedKeys {
					return removed, nil
				}
			}
		}
		if len(ids) < MaxPage {
			return removed, nil
		}
		after = ids[len(ids)-1]
	}
}
