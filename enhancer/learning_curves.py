def draw(histories, path):
    pass
