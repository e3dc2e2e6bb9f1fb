#!/bin/sh
# Makes the certificates of the tests anew, with OpenSSL 3. Nobody else uses them: test.key is no secret, the CA's is not kept.
set -eu
cd "$(dirname "$0")"
ca=$(mktemp)
trap 'rm -f "$ca"' EXIT
openssl ecparam -name prime256v1 -genkey -noout -out "$ca"
openssl ecparam -name prime256v1 -genkey -noout -out test.key
make() { # file, further options
    file=$1
    shift
    openssl req -x509 -new -days 36500 -subj "/CN=$file" -out "$file.crt" "$@"
}
make ca -key "$ca" -addext "basicConstraints = critical, CA:TRUE" -addext "keyUsage = critical, keyCertSign, cRLSign"
make self-signed -key test.key -addext "subjectAltName = DNS:localhost, IP:127.0.0.1"
make localhost -key test.key -CA ca.crt -CAkey "$ca" -addext "basicConstraints = critical, CA:FALSE" \
    -addext "subjectAltName = DNS:localhost, IP:127.0.0.1"
make elsewhere -key test.key -CA ca.crt -CAkey "$ca" -addext "basicConstraints = critical, CA:FALSE" \
    -addext "subjectAltName = DNS:elsewhere.example"
