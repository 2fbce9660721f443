package keystore

import (
	"context"
	"strings"
)

// This file is how the entries of a view are loaded, by one name each, and with which Deployment they are
// deleted. The view has these functions ready: to make one for each question would cost an allocation.

type memberID struct{ deployment, user string }

func (id memberID) deploymentOf(*Member) string { return id.deployment }

func (k *Keystore) memberOf(ctx context.Context, id memberID) (Member, error) {
	return k.Member(ctx, id.deployment, id.user)
}

// memberships are the IDs of the Deployments of a user, each between two spaces: as compact as they can be.
type memberships string

func (m *memberships) has(deploymentID string) bool {
	return ValidateDeploymentID(deploymentID) == nil && strings.Contains(string(*m), " "+deploymentID+" ")
}

// membershipsAtOnce bounds one read of them.
const membershipsAtOnce = 10_000

// membershipsOf reads the index, which has no authentication code: what is in it only says that a record may be
// there. A Deployment that was deleted since does no harm.
func (k *Keystore) membershipsOf(ctx context.Context, user string) (memberships, error) {
	if ValidateUser(user) != nil {
		return "", nil
	}
	ctx, cancel, _, err := k.read(ctx)
	if err != nil {
		return "", err
	}
	defer cancel()
	all := []byte{' '}
	for after := ""; ; {
		ids, err := k.store.Members(ctx, membershipsIndex(memberName(user)), after, membershipsAtOnce)
		if err != nil {
			return "", err
		}
		for _, id := range ids {
			all = append(append(all, id...), ' ')
			after = id
		}
		if len(ids) < membershipsAtOnce {
			return memberships(all), nil
		}
	}
}

// keyWithoutTexts omits what only people read. Descriptions can be large, and clients must not control how
// much memory the view uses.
func (k *Keystore) keyWithoutTexts(ctx context.Context, id string) (Key, error) {
	key, err := k.Key(ctx, id)
	key.Name, key.Description = "", ""
	return key, err
}

func deploymentOfKey(_ string, key *Key) string {
	if key == nil {
		return ""
	}
	return key.DeploymentID
}

func (k *Keystore) deploymentWithoutTexts(ctx context.Context, id string) (Deployment, error) {
	d, err := k.Deployment(ctx, id)
	d.KeyCount = 0 // changes without the Deployment
	d.Name, d.Description = "", ""
	return d, err
}

func (k *Keystore) cutoffNamed(ctx context.Context, _ string) (Cutoff, error) { return k.Cutoff(ctx) }
