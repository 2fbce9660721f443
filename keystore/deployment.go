package keystore

import (
	"context"
	"time"
)

// A Deployment is an Airflow environment: what keys and members belong to.
type Deployment struct {
	ID          string    `json:"id"` // a DNS label, see [ValidateDeploymentID]
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	CreatedAt   time.Time `json:"created_at"`

	// TokenEpoch counts how often all tokens of the Deployment's keys were revoked: a token with a lower
	// one is dead. TokensRevokedAt is when that was, by the clock of a node, the latest of all times.
	TokenEpoch      uint64    `json:"token_epoch,omitempty"`
	TokensRevokedAt time.Time `json:"tokens_revoked_at,omitzero"`

	// KeyCount is how many keys it has. It is counted when a Deployment is read, not kept.
	KeyCount int64 `json:"-"`
}

// A Page asks for a part of a list.
type Page struct {
	After string // the ID after which the page begins; "" is the beginning
	Limit int    // at most so many; 1 to MaxPage
}

// MaxPage is the largest page.
const MaxPage = 500

// A List is one page. Next is the Page.After of the page that follows, or "" on the last one.
// Altered names the records that were left out because they are not as this product wrote
// them.
type List[T any] struct {
	Items   []T
	Next    string
	Altered []string
}

const deploymentsIndex = "deployments"

func deploymentRecord(id string) string { return "deployment/" + id }

// CreateDeployment makes a Deployment from ID, Name and Description. An empty ID gets a random
// one. Errors: [ErrInvalid], [ErrExists].
func (k *Keystore) CreateDeployment(ctx context.Context, by Caller, d Deployment) (Deployment, error) {
	if d.ID == "" {
		d.ID = newDeploymentID()
	}
	d.CreatedAt, d.KeyCount = k.timestamp(), 0
	d.TokenEpoch, d.TokensRevokedAt = 0, time.Time{}
	if err := d.validate(); err != nil {
		return Deployment{}, err
	}
	ctx, cancel, v, err := k.change(ctx)
	if err != nil {
		return Deployment{}, err
	}
	defer cancel()
	name := deploymentRecord(d.ID)
	record, err := encodeRecord(v, name, d)
	if err != nil {
		return Deployment{}, err
	}
	event := Event{Kind: DeploymentCreated, Deployment: d.ID}
	event.set("name", d.Name)
	err = k.apply(ctx, v, Change{
		Conditions: []Condition{{Kind: RecordAbsent, Name: name}},
		Steps: []Step{
			{Kind: PutRecord, Name: name, Value: record},
			{Kind: AddMember, Name: deploymentsIndex, Member: d.ID},
		},
	}, by, event)
	if failedCondition(err) == 0 {
		return Deployment{}, exists("Deployment", d.ID)
	}
	if err != nil {
		return Deployment{}, err
	}
	return d, nil
}

// Deployment reads one. Errors: [ErrNotFound], [ErrAltered].
func (k *Keystore) Deployment(ctx context.Context, id string) (Deployment, error) {
	if ValidateDeploymentID(id) != nil {
		return Deployment{}, notFound("Deployment", id)
	}
	ctx, cancel, v, err := k.read(ctx)
	if err != nil {
		return Deployment{}, err
	}
	defer cancel()
	d, _, err := getRecord[Deployment](ctx, k, v, deploymentRecord(id), notFound("Deployment", id))
	if err != nil {
		return Deployment{}, err
	}
	return k.counted(ctx, d)
}

// UpdateDeployment changes Name and Description as edit does. Errors: [ErrNotFound],
// [ErrInvalid], and what edit returns.
func (k *Keystore) UpdateDeployment(ctx context.Context, by Caller, id string, edit func(*Deployment) error) (Deployment, error) {
	if ValidateDeploymentID(id) != nil {
		return Deployment{}, notFound("Deployment", id)
	}
	ctx, cancel, v, err := k.change(ctx)
	if err != nil {
		return Deployment{}, err
	}
	defer cancel()
	d, err := update(ctx, k, v, by, deploymentRecord(id), notFound("Deployment", id),
		Event{Kind: DeploymentUpdated, Deployment: id}, func(d *Deployment, event *Event) ([]Step, error) {
			edited := *d
			if err := edit(&edited); err != nil {
				return nil, err
			}
			event.setIfOther("name", d.Name, edited.Name)
			event.setIfOther("description", d.Description, edited.Description)
			d.Name, d.Description = edited.Name, edited.Description
			return nil, d.validate()
		})
	if err != nil {
		return Deployment{}, err
	}
	return k.counted(ctx, d)
}

// DeleteDeployment ends a Deployment with all its keys and members, in one atomic step. Errors:
// [ErrNotFound].
func (k *Keystore) DeleteDeployment(ctx context.Context, by Caller, id string) error {
	if ValidateDeploymentID(id) != nil {
		return notFound("Deployment", id)
	}
	ctx, cancel, v, err := k.change(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	err = k.apply(ctx, v, Change{
		Conditions: []Condition{{Kind: RecordExists, Name: deploymentRecord(id)}},
		Steps: []Step{
			{Kind: DropIndex, Name: keysIndex(id), Prefix: keyRecord("")},
			dropExpiring(id),
			{Kind: DropIndex, Name: usedIndex(id), Prefix: usedRecord("")},
			{Kind: RemoveFromEach, Name: membersIndex(id), Prefix: membershipsIndex(""), Member: id},
			{Kind: DropIndex, Name: membersIndex(id), Prefix: memberRecord(id, "")},
			{Kind: RemoveMember, Name: deploymentsIndex, Member: id},
			{Kind: DeleteRecord, Name: deploymentRecord(id)},
		},
	}, by, Event{Kind: DeploymentDeleted, Deployment: id})
	if failedCondition(err) == 0 {
		return notFound("Deployment", id)
	}
	return err
}

// Deployments lists them by ID.
func (k *Keystore) Deployments(ctx context.Context, page Page) (List[Deployment], error) {
	ctx, cancel, v, err := k.read(ctx)
	if err != nil {
		return List[Deployment]{}, err
	}
	defer cancel()
	list, err := listRecords[Deployment](ctx, k, v, deploymentsIndex, deploymentRecord, page)
	if err != nil {
		return list, err
	}
	indexes := make([]string, len(list.Items))
	for i, d := range list.Items {
		indexes[i] = keysIndex(d.ID)
	}
	counts, err := k.store.Sizes(ctx, indexes...)
	if err != nil {
		return List[Deployment]{}, err
	}
	for i := range list.Items {
		list.Items[i].KeyCount = counts[i]
	}
	return list, nil
}

func (k *Keystore) counted(ctx context.Context, d Deployment) (Deployment, error) {
	counts, err := k.store.Sizes(ctx, keysIndex(d.ID))
	if err != nil {
		return Deployment{}, err
	}
	d.KeyCount = counts[0]
	return d, nil
}

func (d *Deployment) validate() error {
	if err := ValidateDeploymentID(d.ID); err != nil {
		return err
	}
	if err := validateName(d.Name); err != nil {
		return err
	}
	return validateDescription(d.Description)
}
