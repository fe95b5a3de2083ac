def document(c):
    return ""


def fragment(c):
    return ""
