def stage_flags(stage, history):
    return []
