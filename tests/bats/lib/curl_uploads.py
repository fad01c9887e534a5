"""Prints a curl configuration that uploads files: curl_uploads.py FOLDER SETTINGS BUCKET/PREFIX

File names below FOLDER come on stdin, each ended by NUL. SETTINGS holds the endpoint's NAME=value
lines.
"""
import sys
import urllib.parse


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def main():
    folder, settings_file, prefix = sys.argv[1:]
    with open(settings_file, encoding="utf-8") as lines:
        settings = dict(line.rstrip("\n").split("=", 1) for line in lines)
    names = [name for name in sys.stdin.read().split("\0") if name]
    blocks = []
    for name in names:
        url = f"{settings['AWS_ENDPOINT_URL']}/{prefix}/{urllib.parse.quote(name)}"
        user = settings["AWS_ACCESS_KEY_ID"] + ":" + settings["AWS_SECRET_ACCESS_KEY"]
        block = [f"url = {quoted(url)}", f"upload-file = {quoted(folder + '/' + name)}",
                 f"user = {quoted(user)}", 'aws-sigv4 = "aws:amz:us-east-1:s3"',
                 'header = "x-amz-content-sha256: UNSIGNED-PAYLOAD"',
                 "silent", "show-error", "fail", 'noproxy = "*"']
        if "AWS_CA_BUNDLE" in settings:
            block.append(f"cacert = {quoted(settings['AWS_CA_BUNDLE'])}")
        blocks.append("\n".join(block))
    print("\nnext\n".join(blocks))


if __name__ == "__main__":
    main()
