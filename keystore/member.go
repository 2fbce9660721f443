package keystore

import (
	"context"
	"encoding/base64"
	"errors"
	"time"
)

// A Member is a user of a Deployment.
type Member struct {
	User         string    `json:"user"` // as the site's authentication calls them
	DeploymentID string    `json:"deployment_id"`
	Role         Role      `json:"role"`
	CreatedAt    time.Time `json:"created_at"`
	CreatedBy    string    `json:"created_by"`
}

// MaxMembers is how many members a Deployment may have.
const MaxMembers = 1_000

func membersIndex(deploymentID string) string { return "members/" + deploymentID }

// membershipsIndex has the IDs of the Deployments of a user, by the name of their records. It only says
// where to look: what counts is the record of the member.
func membershipsIndex(name string) string { return "memberships/" + name }

// memberRecord and memberName: a user ID may have any characters, a name in the store only
// printable ASCII.
func memberRecord(deploymentID, name string) string { return "member/" + deploymentID + "/" + name }

func memberName(user string) string { return base64.RawURLEncoding.EncodeToString([]byte(user)) }

// PutMember gives a user a role in a Deployment, in place of the one they had. Errors:
// [ErrInvalid], [ErrNotFound] without the Deployment, [ErrLimit] when it has [MaxMembers].
func (k *Keystore) PutMember(ctx context.Context, by Caller, deploymentID, user string, role Role) (Member, error) {
	absent := notFound("Deployment", deploymentID)
	if ValidateDeploymentID(deploymentID) != nil {
		return Member{}, absent
	}
	if err := ValidateUser(user); err != nil {
		return Member{}, err
	}
	ctx, cancel, v, err := k.change(ctx)
	if err != nil {
		return Member{}, err
	}
	defer cancel()

	var member Member
	name := memberRecord(deploymentID, memberName(user))
	event := Event{Kind: MemberPut, Deployment: deploymentID, User: user}
	event.set("role", string(role))
	err = retry(name, func() error {
		records, err := k.store.Get(ctx, name)
		if err != nil {
			return err
		}
		member = Member{User: user, DeploymentID: deploymentID, Role: role, CreatedAt: k.timestamp(), CreatedBy: by.Name}
		exists := Condition{Kind: RecordExists, Name: deploymentRecord(deploymentID)}
		change := Change{Conditions: []Condition{
			exists,
			{Kind: SizeBelow, Name: membersIndex(deploymentID), Limit: MaxMembers},
			{Kind: RecordAbsent, Name: name},
		}}
		if before := records[0]; before != nil {
			// An altered record is replaced: the caller says what it should be.
			if was, err := decodeRecord[Member](v, name, before); err == nil {
				if was.Role == role {
					member = was
					return nil
				}
				member.CreatedAt, member.CreatedBy = was.CreatedAt, was.CreatedBy
			}
			change.Conditions = []Condition{exists, {Kind: RecordEquals, Name: name, Value: before}}
		}
		record, err := encodeRecord(v, name, member)
		if err != nil {
			return err
		}
		change.Steps = []Step{
			{Kind: PutRecord, Name: name, Value: record},
			{Kind: AddMember, Name: membersIndex(deploymentID), Member: memberName(user)},
			{Kind: AddMember, Name: membershipsIndex(memberName(user)), Member: deploymentID},
		}
		err = k.apply(ctx, v, change, by, event)
		switch failed := failedCondition(err); {
		case failed == 0:
			return absent
		case failed == 1 && records[0] == nil:
			return &detailError{ErrLimit, "the Deployment has the most members it may have: delete some first"}
		}
		return err
	})
	return member, err
}

// Member reads the membership of a user in a Deployment. Errors: [ErrNotFound], [ErrAltered].
func (k *Keystore) Member(ctx context.Context, deploymentID, user string) (Member, error) {
	absent := notFound("member", user)
	if ValidateDeploymentID(deploymentID) != nil || ValidateUser(user) != nil {
		return Member{}, absent
	}
	ctx, cancel, v, err := k.read(ctx)
	if err != nil {
		return Member{}, err
	}
	defer cancel()
	member, _, err := getRecord[Member](ctx, k, v, memberRecord(deploymentID, memberName(user)), absent)
	return member, err
}

// Role is what a user is in a Deployment. Errors: [ErrNotFound] when they are no member, which says of the
// Deployment that it does not exist: who is no member is not to learn that it does; [ErrAltered].
func (k *Keystore) Role(ctx context.Context, deploymentID, user string) (Role, error) {
	member, err := k.Member(ctx, deploymentID, user)
	if errors.Is(err, ErrNotFound) {
		return "", notFound("Deployment", deploymentID)
	}
	return member.Role, err
}

// DeleteMember ends the membership of a user. Errors: [ErrNotFound].
func (k *Keystore) DeleteMember(ctx context.Context, by Caller, deploymentID, user string) error {
	absent := notFound("member", user)
	if ValidateDeploymentID(deploymentID) != nil || ValidateUser(user) != nil {
		return absent
	}
	ctx, cancel, v, err := k.change(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	name := memberName(user)
	err = k.apply(ctx, v, Change{
		Conditions: []Condition{{Kind: IsMember, Name: membersIndex(deploymentID), Member: name}},
		Steps: []Step{
			{Kind: DeleteRecord, Name: memberRecord(deploymentID, name)},
			{Kind: RemoveMember, Name: membersIndex(deploymentID), Member: name},
			{Kind: RemoveMember, Name: membershipsIndex(name), Member: deploymentID},
		},
	}, by, Event{Kind: MemberDeleted, Deployment: deploymentID, User: user})
	if failedCondition(err) == 0 {
		return absent
	}
	return err
}

// Members lists all members of a Deployment. Errors: [ErrNotFound] without the Deployment.
func (k *Keystore) Members(ctx context.Context, deploymentID string) (List[Member], error) {
	if _, err := k.Deployment(ctx, deploymentID); err != nil {
		return List[Member]{}, err
	}
	ctx, cancel, v, err := k.read(ctx)
	if err != nil {
		return List[Member]{}, err
	}
	defer cancel()
	record := func(member string) string { return memberRecord(deploymentID, member) }
	var all List[Member]
	for page := (Page{Limit: MaxPage}); ; page.After = all.Next {
		list, err := listRecords[Member](ctx, k, v, membersIndex(deploymentID), record, page)
		if err != nil {
			return List[Member]{}, err
		}
		all.Items = append(all.Items, list.Items...)
		all.Altered = append(all.Altered, list.Altered...)
		if all.Next = list.Next; all.Next == "" {
			return all, nil
		}
	}
}

// A Membership is a Deployment, and what a user is in it.
type Membership struct {
	Deployment
	Role Role
}

// Memberships lists the Deployments of which a user is a member, by ID. It costs what the user has, however
// much there is in the store. Errors: [ErrInvalid].
func (k *Keystore) Memberships(ctx context.Context, user string, page Page) (List[Membership], error) {
	if err := ValidateUser(user); err != nil {
		return List[Membership]{}, err
	}
	ctx, cancel, v, err := k.read(ctx)
	if err != nil {
		return List[Membership]{}, err
	}
	defer cancel()
	name := memberName(user)
	ids, next, err := k.readPage(ctx, membershipsIndex(name), page)
	if err != nil || len(ids) == 0 {
		return List[Membership]{}, err
	}
	var records, indexes []string
	for _, id := range ids {
		records = append(records, deploymentRecord(id), memberRecord(id, name))
		indexes = append(indexes, keysIndex(id))
	}
	raw, err := k.store.Get(ctx, records...)
	if err != nil {
		return List[Membership]{}, err
	}
	counts, err := k.store.Sizes(ctx, indexes...)
	if err != nil {
		return List[Membership]{}, err
	}
	list := List[Membership]{Next: next}
	for i := range ids {
		if raw[2*i] == nil || raw[2*i+1] == nil {
			continue // ended since the index was read
		}
		deployment, err := decodeRecord[Deployment](v, records[2*i], raw[2*i])
		if err != nil {
			list.Altered = append(list.Altered, records[2*i])
			continue
		}
		member, err := decodeRecord[Member](v, records[2*i+1], raw[2*i+1])
		if err != nil {
			list.Altered = append(list.Altered, records[2*i+1])
			continue
		}
		deployment.KeyCount = counts[i]
		list.Items = append(list.Items, Membership{deployment, member.Role})
	}
	return list, nil
}
