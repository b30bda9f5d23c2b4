// A real OpenID provider (npm oidc-provider) for tests: `node oidc_provider.mjs FOLDER AUDIENCE` prints its URL when it serves.
// It issues access tokens to the client "ci": for the audience JWTs (RFC 9068), for any other resource opaque ones, which it can revoke (RFC 7009)
// and introspect (RFC 7662). FOLDER holds node_modules.
import { createRequire } from 'node:module';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [folder, audience] = process.argv.slice(2);
const require = createRequire(`${folder}/package.json`);
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')).href);

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(url, {
    clients: [{ client_id: 'ci', client_secret: 'a-secret-of-the-test', grant_types: ['client_credentials'], redirect_uris: [], response_types: [] }],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        getResourceServerInfo: (_ctx, resource) => ({
          scope: 'any',
          audience: resource,
          accessTokenTTL: 300,
          ...(resource === audience ? { accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } } : { accessTokenFormat: 'opaque' }),
        }),
      },
    },
  });
  server.on('request', provider.callback());
  console.log(url);
});
process.stdin.on('end', () => process.exit(0)).resume(); // ends with who started it
