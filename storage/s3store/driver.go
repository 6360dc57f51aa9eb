package s3store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/tufonline/tufonline/storage"
)

// Driver opens URLs such as s3://bucket?region=eu-central-1&prefix=tuf/. The parameters are:
//
//	region          of the bucket
//	prefix          Options.Prefix
//	endpoint        URL of a service other than Amazon's
//	use_path_style  true: the bucket's name is in the path of a request, not in its host
//	profile         section of the AWS client's configuration files
//	role            ARN of the role to assume
//	anonymous       true: requests are not signed
//	ssetype         Options.Encryption: AES256, aws:kms, …
//	kmskeyid        Options.KMSKeyID
//
// The AWS client finds credentials, and settings that the URL does not give, in its usual places:
// environment, configuration files, and the machine's role.
func Driver() storage.Driver { return storage.Driver{Scheme: "s3", Open: open} }

func open(ctx context.Context, u *url.URL, limit int64) (storage.Store, error) {
	err := storage.CheckParams(u, "region", "prefix", "endpoint", "use_path_style", "profile", "role", "anonymous",
		"ssetype", "kmskeyid")
	if err != nil {
		return nil, err
	}
	if u.Host == "" {
		return nil, errors.New("no bucket, as in s3://bucket")
	}
	if folder := strings.Trim(u.Path, "/"); folder != "" {
		return nil, fmt.Errorf("path /%s: the folder in a bucket is a parameter, prefix=%s/", folder, folder)
	}
	query := u.Query()
	opts := Options{
		Prefix:     query.Get("prefix"),
		Limit:      limit,
		Encryption: types.ServerSideEncryption(query.Get("ssetype")),
		KMSKeyID:   query.Get("kmskeyid"),
	}
	if err := storage.CheckKey(opts.Prefix + "key"); err != nil {
		return nil, fmt.Errorf("query parameter prefix=%q: %w", opts.Prefix, err)
	}
	if opts.Encryption != "" && !slices.Contains(opts.Encryption.Values(), opts.Encryption) {
		return nil, fmt.Errorf("query parameter ssetype=%q: not one of %q", opts.Encryption, opts.Encryption.Values())
	}
	client, err := newClient(ctx, query)
	if err != nil {
		return nil, err
	}
	return New(client, u.Host, opts), nil
}

// newClient returns a client as the parameters of a URL ask for.
func newClient(ctx context.Context, query url.Values) (*s3.Client, error) {
	endpoint := query.Get("endpoint")
	if u, err := url.Parse(endpoint); err != nil || u.User != nil || endpoint != "" && u.Host == "" {
		return nil, errors.New("query parameter endpoint: not a URL without user and password")
	}
	pathStyle, err := flag(query, "use_path_style")
	if err != nil {
		return nil, err
	}
	anonymous, err := flag(query, "anonymous")
	if err != nil {
		return nil, err
	}
	role := query.Get("role")
	if role != "" && !arn.IsARN(role) {
		return nil, fmt.Errorf("query parameter role=%q: not an ARN", role)
	}

	// Empty values leave a setting to the environment.
	conf, err := config.LoadDefaultConfig(ctx, config.WithRegion(query.Get("region")),
		config.WithSharedConfigProfile(query.Get("profile")))
	if err != nil {
		return nil, err
	}
	if role != "" {
		conf.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(conf), role))
	}
	if anonymous {
		conf.Credentials = aws.AnonymousCredentials{}
	}
	return s3.NewFromConfig(conf, func(o *s3.Options) {
		o.UsePathStyle = pathStyle
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
	}), nil
}

// flag reads a parameter that is true or false, false if it is missing.
func flag(query url.Values, name string) (bool, error) {
	if !query.Has(name) {
		return false, nil
	}
	value, err := strconv.ParseBool(query.Get(name))
	if err != nil {
		return false, fmt.Errorf("query parameter %s=%q: neither true nor false", name, query.Get(name))
	}
	return value, nil
}
